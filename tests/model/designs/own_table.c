/* IOMMUs walk a table of their own, root 0; vCPUs walk the others. A lock and a notifier of its own keep it in step with the host. */
static DEFINE_MUTEX(io_lock);
static struct mmu_interval_notifier io_mni;

static void store(struct kvm_mmu_page *root, gfn_t gfn, u64 new_spte)
{
	struct tdp_iter iter;

	iter.root = root;
	iter.gfn = gfn;
	iter.min_level = PG_LEVEL_4K;
	tdp_iter_read(&iter);
	kvm_tdp_mmu_write_spte(iter.sptep, new_spte);
}

static void io_zap(struct kvm *kvm, gfn_t gfn)
{
	mutex_lock(&io_lock);
	mmu_interval_set_seq(&io_mni, gfn, gfn);
	store(kvm_exported_root(kvm), gfn, 0);
	qi_submit_iotlb(gfn, gfn, true);
	qi_wait();
	mutex_unlock(&io_lock);
}

static void cpu_zap(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_mmu_page *root;

	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_add(kvm, gfn, gfn);
	for_each_tdp_mmu_root(kvm, root) {
		if (root->exported)
			continue;
		store(root, gfn, 0);
	}
	kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);
	write_unlock(&kvm->mmu_lock);
}

/* The host takes a page back: both notifiers are told, one after the other. */
void host_takes(struct kvm *kvm, gfn_t gfn)
{
	io_zap(kvm, gfn);
	cpu_zap(kvm, gfn);
	host_unmap_and_free(gfn, gfn);
	mutex_lock(&io_lock);
	mn_itree_inv_end(&io_mni);
	mutex_unlock(&io_lock);
	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_sub(kvm);
	write_unlock(&kvm->mmu_lock);
}

int io_fault(struct kvm *kvm, gfn_t gfn)
{
	kvm_pfn_t pfn;
	int ret = RET_PF_RETRY;

	mmu_interval_read_begin(&io_mni);
	pfn = hva_to_pfn(gfn);
	mutex_lock(&io_lock);
	if (!mmu_interval_read_retry(&io_mni)) {
		store(kvm_exported_root(kvm), gfn, make_spte(pfn));
		ret = RET_PF_FIXED;
	}
	mutex_unlock(&io_lock);
	return ret;
}

int cpu_fault(struct kvm *kvm, struct kvm_vcpu *vcpu, gfn_t gfn)
{
	kvm_pfn_t pfn;
	int ret = RET_PF_RETRY;

	vcpu_fault_begin(vcpu);
	mmu_invalidate_seq_read(kvm);
	pfn = hva_to_pfn(gfn);
	write_lock(&kvm->mmu_lock);
	if (!mmu_invalidate_retry(kvm, gfn)) {
		store(vcpu_mmu_root(vcpu), gfn, make_spte(pfn));
		ret = RET_PF_FIXED;
	}
	write_unlock(&kvm->mmu_lock);
	vcpu_fault_end(vcpu);
	return ret;
}
