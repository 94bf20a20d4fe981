/*
 * A thread of the host takes the pages of the guest away: it clears every leaf of the table, makes the devices forget what they
 * remember of it, and only then gives the pages back. It may give way to others in between, and then begins again.
 */

#define for_each_leaf(iter) \
	for (leaf_start(&iter); leaf_next(&iter); )

struct tdp_iter {
	gfn_t gfn;
};

static bool zap_leafs(struct kvm *kvm, bool flush)
{
	struct tdp_iter iter;

	for_each_leaf(iter) {
		if (need_resched()) {
			if (flush)
				flush_iotlb(kvm);
			write_unlock(&kvm->mmu_lock);
			write_lock(&kvm->mmu_lock);
			flush = false;
			leaf_start(&iter);
			continue;
		}
		clear_spte(iter.gfn);
		flush = true;
	}
	return flush;
}

void unmap(struct kvm *kvm)
{
	bool flush = false;

	write_lock(&kvm->mmu_lock);
	flush = zap_leafs(kvm, flush);
	if (flush)
		flush_iotlb(kvm);
	write_unlock(&kvm->mmu_lock);
	give_pages_back(kvm);
}
