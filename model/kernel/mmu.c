/*
 * Page faults of vCPUs and of devices, and the zaps of whole address spaces.
 */
struct kvm_page_fault {
	gfn_t gfn;
	kvm_pfn_t pfn;
	struct folio *folio;
	enum pg_level goal_level;
};

#define for_each_exported_tdp_mmu_root(kvm, root) \
	for (tdp_root_restart(); tdp_mmu_next_exported_root(kvm, &root); )

/*
 * The sequence is read before the pfn is resolved: an invalidation in between
 * makes the fault retry. So does a memslot that is being deleted: no notifier
 * will come for what is mapped below it.
 */
static int kvm_faultin_pfn(struct kvm *kvm, struct kvm_page_fault *fault)
{
	mmu_invalidate_seq_read(kvm);
	if (kvm_memslot_is_invalid(kvm))
		return RET_PF_RETRY;
	fault->pfn = hva_to_pfn(fault->gfn);
	return RET_PF_CONTINUE;
}

static bool is_page_fault_stale(struct kvm *kvm, struct kvm_mmu_page *root, struct kvm_page_fault *fault)
{
	if (root->role.invalid)
		return true;
	return mmu_invalidate_retry(kvm, fault->gfn);
}

/* No larger than the host maps, and 4 KiB while the slot's dirty log wants it. */
static void kvm_mmu_hugepage_adjust(struct kvm *kvm, struct kvm_page_fault *fault)
{
	fault->goal_level = PG_LEVEL_4K;
	if (!kvm_slot_dirty_track_enabled(kvm))
		fault->goal_level = kvm_mmu_max_mapping_level(kvm, fault->gfn);
	if (fault->goal_level == PG_LEVEL_2M)
		fault->folio = gfn_to_folio(fault->gfn);
}

static int direct_page_fault(struct kvm *kvm, struct kvm_mmu_page *root, struct kvm_page_fault *fault)
{
	int ret = RET_PF_RETRY;

	if (kvm_faultin_pfn(kvm, fault) != RET_PF_CONTINUE)
		return RET_PF_RETRY;
	read_lock(&kvm->mmu_lock);
	if (!is_page_fault_stale(kvm, root, fault)) {
		kvm_mmu_hugepage_adjust(kvm, fault);
		ret = kvm_tdp_mmu_map(kvm, root, fault);
	}
	read_unlock(&kvm->mmu_lock);
	return ret;
}

/* An EPT violation of a vCPU. A retry is a new fault. */
int kvm_tdp_page_fault(struct kvm *kvm, struct kvm_vcpu *vcpu, gfn_t gfn)
{
	struct kvm_page_fault fault;
	int ret;

	fault.gfn = gfn;
	vcpu_fault_begin(vcpu);
	ret = direct_page_fault(kvm, vcpu_mmu_root(vcpu), &fault);
	vcpu_fault_end(vcpu);
	return ret;
}

/* An IO page fault: no vCPU is there, the root is the exported one. */
int kvm_fault_exported_tdp(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_page_fault fault;
	int ret;

	fault.gfn = gfn;
	lock_slots_lock(&kvm->slots_lock);
	ret = direct_page_fault(kvm, kvm_exported_root(kvm), &fault);
	unlock_slots_lock(&kvm->slots_lock);
	return ret;
}

/* Dirty logging begins for the range: split under the shared lock. */
void kvm_mmu_slot_try_split_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last)
{
	assume(start <= last);
	read_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_try_split_huge_pages(kvm, start, last, true);
	read_unlock(&kvm->mmu_lock);
}

/* A dirty log is cleared: split under the exclusive lock. */
void kvm_mmu_try_split_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last)
{
	assume(start <= last);
	write_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_try_split_huge_pages(kvm, start, last, false);
	write_unlock(&kvm->mmu_lock);
}

/* Dirty logging ends for the range. */
void kvm_mmu_recover_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last)
{
	assume(start <= last);
	read_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_recover_huge_pages(kvm, start, last);
	read_unlock(&kvm->mmu_lock);
}

/* The vCPUs drop an invalid root, and the TDP MMU puts its own reference. An exported root stays. */
static void kvm_tdp_mmu_invalidate_all_roots(struct kvm *kvm)
{
	struct kvm_mmu_page *root;

	lockdep_assert_held_write(&kvm->mmu_lock);
	for_each_tdp_mmu_root(kvm, root) {
		if (root->exported)
			continue;
		root->role.invalid = true;
	}
}

/* What an IOMMU points to cannot be replaced: its leaves go instead. */
static void kvm_tdp_mmu_zap_exported_roots(struct kvm *kvm, gfn_t start, gfn_t last)
{
	struct kvm_mmu_page *root;
	bool flush = false;

	for_each_exported_tdp_mmu_root(kvm, root)
		flush = tdp_mmu_zap_leafs(kvm, root, start, last, false, flush);
	if (flush)
		kvm_flush_remote_tlbs(kvm);
}

static void kvm_tdp_mmu_zap_invalidated_roots(struct kvm *kvm)
{
	struct kvm_mmu_page *root;

	for_each_tdp_mmu_root(kvm, root) {
		if (root->role.invalid)
			kvm_put_tdp_root(root);
	}
}

/* A memslot is deleted, the generation of MMIO entries wraps, NX huge pages are switched: everything must be faulted in again. */
void kvm_mmu_zap_all_fast(struct kvm *kvm, gfn_t start, gfn_t last)
{
	lockdep_assert_held_slots_lock(&kvm->slots_lock);
	zap_begin(start, last);
	write_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_invalidate_all_roots(kvm);
	kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);
	kvm_tdp_mmu_zap_exported_roots(kvm, start, last);
	note_fast_zap();
	write_unlock(&kvm->mmu_lock);

	read_lock(&kvm->mmu_lock);
	kvm_tdp_mmu_zap_invalidated_roots(kvm);
	read_unlock(&kvm->mmu_lock);
	zap_end();
}

/* Huge pages may be executable from now on, or may no longer be. */
void set_nx_huge_pages(struct kvm *kvm, gfn_t start, gfn_t last)
{
	lock_slots_lock(&kvm->slots_lock);
	kvm_mmu_zap_all_fast(kvm, start, last);
	unlock_slots_lock(&kvm->slots_lock);
}

/* The mm goes away while devices may still be attached: their caches must go before the pages do. */
void kvm_mmu_zap_all(struct kvm *kvm, gfn_t start, gfn_t last)
{
	struct kvm_mmu_page *root;

	write_lock(&kvm->mmu_lock);
	mmu_invalidate_in_progress_add(kvm, start, last);
	for_each_tdp_mmu_root(kvm, root)
		tdp_mmu_zap_leafs(kvm, root, start, last, false, false);
	kvm_flush_remote_tlbs(kvm);
	write_unlock(&kvm->mmu_lock);
	host_unmap_and_free(start, last);
}
