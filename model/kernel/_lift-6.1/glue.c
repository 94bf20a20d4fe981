/*
 * What stands around functions lifted from arch/x86/kvm/mmu/ of Linux 6.1:
 * the threads' entries, and the parts of KVM on the way there, in our words.
 * A gfn_choice_t is a guest frame that a scenario names or leaves open.
 */

/* A range flush covers a table that was unlinked, too: importers get no hint that only leaves changed. */
void kvm_flush_remote_tlbs_with_address(struct kvm *kvm, gfn_t start, unsigned long pages)
{
	kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);
	kvm_tdp_fd_flush_notify_range(kvm, start, start + pages - 1);
}

int cond_resched_rwlock_read(rwlock_t *lock)
{
	read_unlock(lock);
	read_lock(lock);
	return 1;
}

int cond_resched_rwlock_write(rwlock_t *lock)
{
	write_unlock(lock);
	write_lock(lock);
	return 1;
}

/* Page faults */

/* No larger than the host maps, and 4 KiB while the slot's dirty log wants it. */
void kvm_mmu_hugepage_adjust(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	fault->goal_level = PG_LEVEL_4K;
	if (!kvm_slot_dirty_track_enabled(vcpu->kvm))
		fault->goal_level = kvm_mmu_max_mapping_level(vcpu->kvm, fault->slot, fault->gfn, fault->max_level);
	fault->pfn &= -KVM_PAGES_PER_HPAGE(fault->goal_level);
}

/* The sequence is read before the pfn is resolved: an invalidation in between makes the fault retry. */
static void kvm_faultin_pfn(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	mmu_invalidate_seq_read(vcpu->kvm);
	fault->pfn = hva_to_pfn(fault->gfn);
}

/* An EPT violation of a vCPU. A retry is a new fault. */
int kvm_tdp_page_fault(struct kvm_vcpu *vcpu, gfn_choice_t gfn)
{
	struct kvm_page_fault fault = { .slot = gfn_to_memslot(vcpu->kvm, gfn_of(gfn)), .max_level = PG_LEVEL_2M };
	struct kvm_mmu *mmu = vcpu->arch.mmu;
	int ret = RET_PF_RETRY;

	fault.gfn = gfn_of(gfn);
	kvm_faultin_pfn(vcpu, &fault);
	read_lock(&vcpu->kvm->mmu_lock);
	if (!to_shadow_page(mmu->root.hpa)->role.invalid && !mmu_invalidate_retry(vcpu->kvm, fault.gfn))
		ret = kvm_tdp_mmu_map(vcpu, &fault);
	read_unlock(&vcpu->kvm->mmu_lock);
	return ret;
}

/* MMU notifiers */

static void kvm_mmu_notifier_invalidate_range_start(struct kvm *kvm, gfn_t start, gfn_t last, bool may_block)
{
	struct kvm_gfn_range range;

	range.slot = gfn_to_memslot(kvm, start);
	range.start = start;
	range.end = last + 1;
	range.may_block = may_block;
	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_add(kvm, start, last);
	if (kvm_tdp_mmu_unmap_gfn_range(kvm, &range, false))
		kvm_flush_remote_tlbs(kvm);
	write_unlock(&kvm->mmu_lock);
}

/* The host takes a range back: madvise(), reclaim, migration. */
void mmu_notifier_unmap(struct kvm *kvm, gfn_choice_t start, gfn_choice_t last, bool may_block)
{
	assume(start <= last);
	kvm_mmu_notifier_invalidate_range_start(kvm, gfn_of(start), gfn_of(last), may_block);
	host_unmap_and_free(gfn_of(start), gfn_of(last));
	kvm_mmu_notifier_invalidate_range_end(kvm);
}

/* Fast zap */

/* NX huge pages are switched, or the generation of MMIO entries wraps: every root is replaced by one that is empty. */
void kvm_mmu_zap_all_fast(struct kvm *kvm)
{
	lock_slots_lock(&kvm->slots_lock);
	write_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_invalidate_all_roots(kvm);
	kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);
	note_fast_zap();
	write_unlock(&kvm->mmu_lock);
	kvm_tdp_mmu_zap_invalidated_roots(kvm);
	unlock_slots_lock(&kvm->slots_lock);
}

/* Dirty logging */

/* It begins for the memslot: split under the shared lock. */
void kvm_mmu_slot_try_split_huge_pages(struct kvm *kvm)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm, 0);

	read_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_try_split_huge_pages(kvm, slot, slot->base_gfn, slot->base_gfn + slot->npages, PG_LEVEL_4K, true);
	read_unlock(&kvm->mmu_lock);
}

/* A dirty log is cleared: split under the exclusive lock. */
void kvm_mmu_try_split_huge_pages(struct kvm *kvm, gfn_choice_t start, gfn_choice_t last)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm, gfn_of(start));

	assume(start <= last);
	write_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_try_split_huge_pages(kvm, slot, gfn_of(start), gfn_of(last) + 1, PG_LEVEL_4K, false);
	write_unlock(&kvm->mmu_lock);
}

/* It ends for the memslot: tables whose region the host maps huge are zapped. */
void kvm_mmu_zap_collapsible_sptes(struct kvm *kvm)
{
	read_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_zap_collapsible_sptes(kvm, gfn_to_memslot(kvm, 0));
	read_unlock(&kvm->mmu_lock);
}
