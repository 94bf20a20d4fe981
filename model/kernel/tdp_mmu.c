/*
 * The TDP MMU: installing, zapping, splitting and recovering mappings.
 * In-place split as in 6.7, in-place recovery of huge pages as in 6.13.
 */
#define for_each_tdp_mmu_root(kvm, root) \
	for (tdp_root_restart(); tdp_mmu_next_root(kvm, &root, false); )

/* A table page has been unlinked: nobody may install below it any more, and RCU says when it is free. */
static void handle_removed_pt(struct kvm *kvm, u64 old_spte)
{
	struct kvm_mmu_page *sp = spte_to_child_sp(old_spte);

	tdp_mmu_unlink_sp(sp);
	tdp_mmu_freeze_children(sp);
	call_rcu_free_sp(sp);
}

static void handle_changed_spte(struct kvm *kvm, u64 old_spte, u64 new_spte, enum pg_level level)
{
	if (level == PG_LEVEL_2M && is_shadow_present_pte(old_spte) && !is_last_spte(old_spte, level) &&
	    (!is_shadow_present_pte(new_spte) || is_last_spte(new_spte, level)))
		handle_removed_pt(kvm, old_spte);
}

/* mmu_lock is held for writing: nobody else writes entries. */
static void tdp_mmu_set_spte(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	lockdep_assert_held_write(&kvm->mmu_lock);
	kvm_tdp_mmu_write_spte(iter->sptep, new_spte);
	handle_changed_spte(kvm, iter->old_spte, new_spte, iter->level);
}

/* mmu_lock is held for reading: somebody else may have changed the entry, or have frozen it. */
static bool tdp_mmu_set_spte_atomic(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	u64 old_spte = iter->old_spte;

	lockdep_assert_held_read(&kvm->mmu_lock);
	if (is_removed_spte(old_spte))
		return false;
	if (!try_cmpxchg64(iter->sptep, &iter->old_spte, new_spte))
		return false;
	handle_changed_spte(kvm, old_spte, new_spte, iter->level);
	return true;
}

/*
 * Give others a chance. What was zapped must be flushed before the lock is
 * dropped, and before the RCU read side is left if tables were unlinked.
 */
static bool tdp_mmu_iter_cond_resched(struct kvm *kvm, bool flush, bool shared)
{
	if (!need_resched())
		return false;

	if (flush)
		kvm_flush_remote_tlbs(kvm);
	rcu_read_unlock();
	if (shared) {
		read_unlock(&kvm->mmu_lock);
		read_lock(&kvm->mmu_lock);
	} else {
		write_unlock(&kvm->mmu_lock);
		write_lock(&kvm->mmu_lock);
	}
	rcu_read_lock();
	tdp_walk_restart();
	return true;
}

/* Zap all leaves of the range. The caller flushes when this returns true. */
static bool tdp_mmu_zap_leafs(struct kvm *kvm, struct kvm_mmu_page *root,
			      gfn_t start, gfn_t last, bool can_yield, bool flush)
{
	struct tdp_iter iter;

	lockdep_assert_held_write(&kvm->mmu_lock);
	rcu_read_lock();
	for_each_tdp_leaf_exclusive(iter, root, start, last) {
		if (can_yield && tdp_mmu_iter_cond_resched(kvm, flush, false)) {
			flush = false;
			continue;
		}
		tdp_mmu_set_spte(kvm, &iter, 0);
		flush = true;
	}
	rcu_read_unlock();
	return flush;
}

/* Every root that somebody still holds, the invalid ones included. */
bool kvm_tdp_mmu_unmap_gfn_range(struct kvm *kvm, gfn_t start, gfn_t last, bool may_block, bool flush)
{
	struct kvm_mmu_page *root;

	for_each_tdp_mmu_root(kvm, root)
		flush = tdp_mmu_zap_leafs(kvm, root, start, last, may_block, flush);
	return flush;
}

static bool tdp_mmu_link_sp(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp)
{
	return tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp));
}

/* Replace a huge leaf by a table of the same translations. No flush: either form translates alike. */
static bool tdp_mmu_split_huge_page(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp, bool shared)
{
	tdp_mmu_init_split_sp(sp, iter->old_spte);
	if (!shared) {
		tdp_mmu_set_spte(kvm, iter, make_nonleaf_spte(sp));
		return true;
	}
	return tdp_mmu_link_sp(kvm, iter, sp);
}

/* Install the mapping of a fault. The caller holds mmu_lock for reading. */
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
		} else if (is_last_spte(iter.old_spte, PG_LEVEL_2M)) {
			sp = tdp_mmu_alloc_sp();
			if (!sp)
				goto retry;
			if (!tdp_mmu_split_huge_page(kvm, &iter, sp, true)) {
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

/* All that one entry of that level covers: an IOMMU that holds it as one translation drops no part of it. */
static void kvm_flush_remote_tlbs_gfn(struct kvm *kvm, gfn_t gfn, enum pg_level level)
{
	gfn_t first = gfn;
	gfn_t last = gfn;

	if (level == PG_LEVEL_2M)
		gfn_region_bounds(gfn, &first, &last);
	kvm_flush_remote_tlbs_range(kvm, first, last);
}

/* A huge leaf that takes the place of a table unlinks it: flush before the RCU read side is left. */
static bool tdp_mmu_map_handle_target_level(struct kvm *kvm, struct tdp_iter *iter, u64 new_spte)
{
	u64 old_spte = iter->old_spte;

	if (!tdp_mmu_set_spte_atomic(kvm, iter, new_spte))
		return false;
	if (is_shadow_present_pte(old_spte) && !is_last_spte(old_spte, iter->level))
		kvm_flush_remote_tlbs_gfn(kvm, iter->gfn, iter->level);
	return true;
}

/* Eager split of the huge pages of a range, for dirty logging. */
int kvm_tdp_mmu_try_split_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last, bool shared)
{
	struct kvm_mmu_page *root;
	struct kvm_mmu_page *sp;
	struct tdp_iter iter;

	for_each_tdp_mmu_root(kvm, root) {
		rcu_read_lock();
		for_each_tdp_pte_min_level(iter, root, PG_LEVEL_2M, start, last) {
			if (!is_shadow_present_pte(iter.old_spte) || !is_large_pte(iter.old_spte))
				continue;
			sp = tdp_mmu_alloc_sp_for_split();
			if (!sp) {
				rcu_read_unlock();
				return -ENOMEM;
			}
			if (!tdp_mmu_split_huge_page(kvm, &iter, sp, shared))
				tdp_mmu_free_sp(sp);
		}
		rcu_read_unlock();
	}
	return 0;
}

/* Where the host maps a region by a huge page again, let one huge leaf take the place of the table. */
void kvm_tdp_mmu_recover_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last)
{
	struct kvm_mmu_page *root;
	struct tdp_iter iter;
	struct tdp_iter child;
	bool flush = false;

	for_each_tdp_mmu_root(kvm, root) {
		rcu_read_lock();
		for_each_tdp_pte_min_level(iter, root, PG_LEVEL_2M, start, last) {
			if (tdp_mmu_iter_cond_resched(kvm, flush, true)) {
				flush = false;
				continue;
			}
			if (!is_shadow_present_pte(iter.old_spte) || is_last_spte(iter.old_spte, PG_LEVEL_2M))
				continue;
			if (kvm_mmu_max_mapping_level(kvm, iter.gfn) != PG_LEVEL_2M)
				continue;
			child.old_spte = kvm_tdp_mmu_read_spte(tdp_pt_sptep(iter.old_spte, iter.gfn));
			if (!is_shadow_present_pte(child.old_spte))
				continue;
			if (tdp_mmu_set_spte_atomic(kvm, &iter, make_huge_spte(child.old_spte, iter.gfn)))
				flush = true;
		}
		if (flush)
			kvm_flush_remote_tlbs(kvm);
		flush = false;
		rcu_read_unlock();
	}
}
