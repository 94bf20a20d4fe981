/* KVM decides by a mirror, root 1, which nobody walks; hardware walks root 0, which changes by calls that may be busy. */
static void at(struct kvm_mmu_page *root, gfn_t gfn, struct tdp_iter *iter)
{
	iter->root = root;
	iter->gfn = gfn;
	iter->min_level = PG_LEVEL_4K;
	tdp_iter_read(iter);
}

static bool push(struct kvm *kvm, gfn_t gfn, u64 new_spte)
{
	struct tdp_iter iter;

	if (need_resched())
		return false;
	at(kvm_exported_root(kvm), gfn, &iter);
	kvm_tdp_mmu_write_spte(iter.sptep, new_spte);
	return true;
}

int mirror_fault(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_mmu_page *root;
	struct tdp_iter iter;
	kvm_pfn_t pfn;
	int ret = RET_PF_RETRY;

	mmu_invalidate_seq_read(kvm);
	pfn = hva_to_pfn(gfn);
	write_lock(&kvm->mmu_lock);
	if (!mmu_invalidate_retry(kvm, gfn)) {
		for_each_tdp_mmu_root(kvm, root) {
			if (root->exported)
				continue;
			at(root, gfn, &iter);
			kvm_tdp_mmu_write_spte(iter.sptep, REMOVED_SPTE);
			if (push(kvm, gfn, make_spte(pfn))) {
				kvm_tdp_mmu_write_spte(iter.sptep, make_spte(pfn));
				ret = RET_PF_FIXED;
			} else {
				kvm_tdp_mmu_write_spte(iter.sptep, iter.old_spte);
			}
		}
	}
	write_unlock(&kvm->mmu_lock);
	return ret;
}

void mirror_unmap(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_mmu_page *root;
	struct tdp_iter iter;

	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_add(kvm, gfn, gfn);
	for_each_tdp_mmu_root(kvm, root) {
		if (root->exported)
			continue;
		at(root, gfn, &iter);
		kvm_tdp_mmu_write_spte(iter.sptep, REMOVED_SPTE);
		while (!push(kvm, gfn, REMOVED_SPTE))
			cpu_relax();
		kvm_flush_remote_tlbs_range(kvm, gfn, gfn);
		kvm_tdp_mmu_write_spte(iter.sptep, 0);
	}
	write_unlock(&kvm->mmu_lock);
	host_unmap_and_free(gfn, gfn);
	kvm_mmu_notifier_invalidate_range_end(kvm);
}
