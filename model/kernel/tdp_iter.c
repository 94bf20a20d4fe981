/*
 * Walking a range of a TDP page table.
 *
 * A walk visits each entry that covers a part of the range once, in any
 * order. Ranges are inclusive: the end of a region is a name here, not a sum.
 * Two levels: PG_LEVEL_2M entries stand in the root, PG_LEVEL_4K entries in
 * the table pages below.
 */
struct tdp_iter {
	struct kvm_mmu_page *root;
	enum pg_level min_level;
	enum pg_level level;
	gfn_t gfn;
	tdp_ptep_t sptep;
	u64 old_spte;
};

#define for_each_tdp_pte_min_level(iter, root, min_level, start, last) \
	for (tdp_iter_start(&iter, root, min_level); tdp_iter_next(&iter, start, last); )

#define for_each_tdp_leaf_exclusive(iter, root, start, last) \
	for (tdp_iter_start(&iter, root, PG_LEVEL_4K); tdp_iter_next_leaf(&iter, start, last); )

static void tdp_iter_start(struct tdp_iter *iter, struct kvm_mmu_page *root, enum pg_level min_level)
{
	iter->root = root;
	iter->min_level = min_level;
	tdp_walk_restart();
}

/* Read the level-2 entry of iter->gfn, and below it the level-1 entry where there is a table. */
static void tdp_iter_read(struct tdp_iter *iter)
{
	iter->level = PG_LEVEL_2M;
	iter->sptep = tdp_root_sptep(iter->root, iter->gfn);
	iter->old_spte = kvm_tdp_mmu_read_spte(iter->sptep);

	if (iter->min_level == PG_LEVEL_4K && is_shadow_present_pte(iter->old_spte) &&
	    !is_last_spte(iter->old_spte, iter->level)) {
		iter->level = PG_LEVEL_4K;
		iter->sptep = tdp_pt_sptep(iter->old_spte, iter->gfn);
		iter->old_spte = kvm_tdp_mmu_read_spte(iter->sptep);
	}
}

static bool tdp_iter_next(struct tdp_iter *iter, gfn_t start, gfn_t last)
{
	if (!tdp_walk_next(&iter->gfn, start, last))
		return false;

	tdp_iter_read(iter);
	tdp_walk_visited(iter->gfn, iter->level);
	return true;
}

/* The same for leaves alone. mmu_lock is held for writing, so what is empty stays empty. */
static bool tdp_iter_next_leaf(struct tdp_iter *iter, gfn_t start, gfn_t last)
{
	if (!tdp_walk_next_leaf(&iter->gfn, iter->root, start, last))
		return false;

	tdp_iter_read(iter);
	tdp_walk_visited(iter->gfn, iter->level);
	return true;
}
