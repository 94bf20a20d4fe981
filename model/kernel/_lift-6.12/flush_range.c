/*
 * What Linux has between a flush of one page and one of everything since 6.4:
 * the flush of a range, in our words.
 */

/* A range flush covers a table that was unlinked, too: importers get no hint that only leaves changed. */
void kvm_flush_remote_tlbs_range(struct kvm *kvm, gfn_t start, unsigned long pages)
{
	kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);
	kvm_tdp_fd_flush_notify_range(kvm, start, start + pages - 1);
}
