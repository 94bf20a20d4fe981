/*
 * What 6.1 does otherwise: a fault splits a huge page by zapping it, and a
 * collapse zaps the table and leaves the huge page to the next fault.
 */

/* Freeze, flush, empty: nobody installs anything before the flush is done. */
static bool tdp_mmu_zap_spte_atomic(struct kvm *kvm, struct tdp_iter *iter)
{
	if (!tdp_mmu_set_spte_atomic(kvm, iter, REMOVED_SPTE))
		return false;
	kvm_flush_remote_tlbs(kvm);
	kvm_tdp_mmu_write_spte(iter->sptep, 0);
	return true;
}

/* A fault that needs a smaller mapping takes the huge leaf away first. */
int kvm_tdp_mmu_map(struct kvm *kvm, struct kvm_mmu_page *root, struct kvm_page_fault *fault)
{
	struct tdp_iter iter;
	struct kvm_mmu_page *sp;
	u64 new_spte;

	lockdep_assert_held_read(&kvm->mmu_lock);
	rcu_read_lock();
	iter.root = root;
	iter.gfn = fault->gfn;
	iter.min_level = PG_LEVEL_2M;
	tdp_iter_read(&iter);

	if (fault->goal_level == PG_LEVEL_4K) {
		if (is_shadow_present_pte(iter.old_spte) && is_last_spte(iter.old_spte, PG_LEVEL_2M)) {
			if (!tdp_mmu_zap_spte_atomic(kvm, &iter))
				goto retry;
			tdp_iter_read(&iter);
		}
		if (is_removed_spte(iter.old_spte))
			goto retry;
		if (!is_shadow_present_pte(iter.old_spte)) {
			sp = tdp_mmu_alloc_sp();
			if (!sp)
				goto retry;
			if (!tdp_mmu_link_sp(kvm, &iter, sp)) {
				tdp_mmu_free_sp(sp);
				goto retry;
			}
		}
		iter.min_level = PG_LEVEL_4K;
		tdp_iter_read(&iter);
		if (iter.level != PG_LEVEL_4K)
			goto retry;
		new_spte = make_spte(fault->pfn);
	} else {
		new_spte = make_large_spte(fault->folio);
	}

	if (is_removed_spte(iter.old_spte))
		goto retry;
	if (iter.old_spte == new_spte) {
		rcu_read_unlock();
		return RET_PF_SPURIOUS;
	}
	if (!tdp_mmu_map_handle_target_level(kvm, &iter, new_spte))
		goto retry;
	rcu_read_unlock();
	return RET_PF_FIXED;

retry:
	rcu_read_unlock();
	return RET_PF_RETRY;
}

/* Dirty logging ends for the range: tables whose region the host maps huge are zapped. */
void kvm_tdp_mmu_recover_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last)
{
	struct kvm_mmu_page *root;
	struct tdp_iter iter;

	for_each_tdp_mmu_root(kvm, root) {
		rcu_read_lock();
		for_each_tdp_pte_min_level(iter, root, PG_LEVEL_2M, start, last) {
			if (tdp_mmu_iter_cond_resched(kvm, false, true))
				continue;
			if (!is_shadow_present_pte(iter.old_spte) || is_last_spte(iter.old_spte, PG_LEVEL_2M))
				continue;
			if (kvm_mmu_max_mapping_level(kvm, iter.gfn) != PG_LEVEL_2M)
				continue;
			tdp_mmu_zap_spte_atomic(kvm, &iter);
		}
		rcu_read_unlock();
	}
}
