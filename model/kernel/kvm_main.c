/*
 * MMU notifiers, remote flushes and the deletion of a memslot.
 */

/* CPUs first, then the IOMMUs of all importers; both are done when this returns. */
void kvm_flush_remote_tlbs(struct kvm *kvm)
{
	kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);
	kvm_tdp_fd_flush_notify(kvm);
}

void kvm_flush_remote_tlbs_range(struct kvm *kvm, gfn_t start, gfn_t last)
{
	kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);
	kvm_tdp_fd_flush_notify_range(kvm, start, last);
}

static void kvm_mmu_notifier_invalidate_range_start(struct kvm *kvm, gfn_t start, gfn_t last, bool may_block)
{
	bool flush;

	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_add(kvm, start, last);
	flush = kvm_tdp_mmu_unmap_gfn_range(kvm, start, last, may_block, false);
	if (flush)
		kvm_flush_remote_tlbs(kvm);
	write_unlock(&kvm->mmu_lock);
}

static void kvm_mmu_notifier_invalidate_range_end(struct kvm *kvm)
{
	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_sub(kvm);
	write_unlock(&kvm->mmu_lock);
}

/*
 * The host takes a range back: madvise(), reclaim, migration. A huge page of
 * the host goes as a whole here; see below for a part of one.
 */
void mmu_notifier_unmap(struct kvm *kvm, gfn_t start, gfn_t last, bool may_block)
{
	assume(start <= last);
	assume(host_maps_whole(start, last));
	kvm_mmu_notifier_invalidate_range_start(kvm, start, last, may_block);
	host_unmap_and_free(start, last);
	kvm_mmu_notifier_invalidate_range_end(kvm);
}

/*
 * The host takes back a part of what it maps by a huge page. The outer
 * invalidation names that part alone; the split of the host's own huge page
 * is an invalidation of the whole region, nested in it.
 */
void mmu_notifier_unmap_part(struct kvm *kvm, gfn_t start, gfn_t last)
{
	gfn_t first;
	gfn_t end;
	bool flush;

	assume(start <= last);
	assume(gfn_same_region(start, last));
	kvm_mmu_notifier_invalidate_range_start(kvm, start, last, false);

	gfn_region_bounds(start, &first, &end);
	write_lock(&kvm->mmu_lock);
	mmu_invalidate_nested_add(kvm, first, end);
	flush = kvm_tdp_mmu_unmap_gfn_range(kvm, first, end, false, false);
	if (flush)
		kvm_flush_remote_tlbs(kvm);
	write_unlock(&kvm->mmu_lock);
	host_split_huge_page(start);
	write_lock(&kvm->mmu_lock);
	mmu_invalidate_nested_sub(kvm);
	write_unlock(&kvm->mmu_lock);

	host_unmap_and_free(start, last);
	kvm_mmu_notifier_invalidate_range_end(kvm);
}

/* Who has found the memslot valid is done when this returns: vCPUs by SRCU, device faults by slots_lock. */
static void kvm_swap_active_memslots(struct kvm *kvm)
{
	memslot_set_invalid(kvm);
	srcu_gp_start(&kvm->srcu);
	srcu_gp_wait(&kvm->srcu);
}

/*
 * KVM_SET_USER_MEMORY_REGION with no pages: the memslot goes. Then userspace
 * unmaps what backed it, and the notifiers find no memslot: nobody is told.
 */
void kvm_set_memory_region(struct kvm *kvm, gfn_t start, gfn_t last)
{
	lock_slots_lock(&kvm->slots_lock);
	kvm_swap_active_memslots(kvm);
	kvm_mmu_zap_all_fast(kvm, start, last);
	unlock_slots_lock(&kvm->slots_lock);
	host_unmap_and_free(start, last);
}
