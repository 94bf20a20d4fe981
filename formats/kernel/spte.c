/*
 * What KVM writes into an entry of EPT, and what it takes an entry for. Our words, the kernel's names.
 * Sources: arch/x86/kvm/mmu/spte.h and spte.c, Linux 6.1 and 6.12; arch/x86/include/asm/vmx.h; for the bit that moves, patch 24 of the
 * RFC. What 6.12 does differently is an option: it suppresses #VE, and so its empty entry is no zero.
 */

#define VMX_EPT_READABLE_MASK 1ul
#define VMX_EPT_WRITABLE_MASK 2ul
#define VMX_EPT_EXECUTABLE_MASK 4ul
#define VMX_EPT_RWX_MASK 7ul
#define VMX_EPT_MISCONFIG_WX_VALUE 6ul
#define VMX_EPT_IPAT_BIT (1ul << 6)
#define PT_PAGE_SIZE_MASK (1ul << 7)
#define VMX_EPT_ACCESS_BIT (1ul << 8)
#define VMX_EPT_DIRTY_BIT (1ul << 9)
#define VMX_EPT_SUPPRESS_VE_BIT (1ul << 63)
#define EPT_SPTE_HOST_WRITABLE (1ul << 57)
#define EPT_SPTE_MMU_WRITABLE (1ul << 58)
#define SPTE_TDP_AD_MASK (3ul << 52)
#define SPTE_TDP_AD_DISABLED (1ul << 52)
#define SPTE_TDP_AD_WRPROT_ONLY (2ul << 52)
#define SHADOW_ACC_TRACK_SAVED_BITS_SHIFT 54
#define SHADOW_ACC_TRACK_SAVED_BITS_MASK 5ul
#define SPTE_BASE_ADDR_MASK 0x000ffffffffff000ul
#define SHADOW_NONPRESENT_OR_RSVD_MASK_LEN 5
#define FROZEN_LOW_BITS 0x5a0ul

#ifdef CONFIG_HAVE_KVM_MMU_PRESENT_HIGH
#define SPTE_MMU_PRESENT_MASK (1ul << 59)
#else
#define SPTE_MMU_PRESENT_MASK (1ul << 11)
#endif

/* What the module found out when it was loaded (kvm_mmu_set_ept_masks() and kvm_mmu_reset_all_pte_masks()). */
struct kvm_ept {
	bool ad_bits;
	bool exec_only;
	bool suppress_ve;
	u64 l1tf_mask;
};

/* How a page is to be mapped: what the fault, the slot and the table page say. */
struct leaf {
	u64 pfn;
	bool huge;
	bool exec;
	bool write;
	bool host_writable;
	bool prefetch;
	bool ad_disabled;
	bool wrprot_only;
	u8 memtype;
	bool ipat;
};

/* What other flows did to a leaf since it was made; nothing of it brings a permission that make_spte() did not give. */
struct later {
	bool wrprot_dirty;
	bool wrprot_shadow;
	bool clear_accessed;
	bool clear_dirty;
	bool mark_accessed;
	bool mark_dirty;
	bool drop_exec;
};

static u64 when(bool condition, u64 bits)
{
	return condition ? bits : 0;
}

static u64 shadow_present_mask(struct kvm_ept ept)
{
	return when(!ept.exec_only, VMX_EPT_READABLE_MASK) | when(ept.suppress_ve, VMX_EPT_SUPPRESS_VE_BIT);
}

static bool is_shadow_present_pte(u64 spte)
{
	return (spte & SPTE_MMU_PRESENT_MASK) != 0;
}

static bool spte_ad_enabled(u64 spte)
{
	return (spte & SPTE_TDP_AD_MASK) != SPTE_TDP_AD_DISABLED;
}

static bool is_access_track_spte(u64 spte)
{
	return is_shadow_present_pte(spte) && !spte_ad_enabled(spte) && (spte & VMX_EPT_RWX_MASK) == 0;
}

static bool is_mmio_spte(struct kvm_ept ept, u64 spte)
{
	u64 seen = VMX_EPT_RWX_MASK | when(ept.suppress_ve, VMX_EPT_SUPPRESS_VE_BIT);

	return (spte & seen) == VMX_EPT_MISCONFIG_WX_VALUE;
}

static u64 nonpresent_value(struct kvm_ept ept)
{
	return when(ept.suppress_ve, VMX_EPT_SUPPRESS_VE_BIT);
}

static u64 frozen_value(struct kvm_ept ept)
{
	return nonpresent_value(ept) | FROZEN_LOW_BITS;
}

static bool is_frozen_spte(struct kvm_ept ept, u64 spte)
{
	return spte == frozen_value(ept);
}

static bool is_last_spte(u64 spte, int level)
{
	return level == 1 || (spte & PT_PAGE_SIZE_MASK) != 0;
}

static u64 spte_to_address(u64 spte)
{
	return spte & SPTE_BASE_ADDR_MASK;
}

static bool is_writable_pte(u64 spte)
{
	return (spte & VMX_EPT_WRITABLE_MASK) != 0;
}

/* The generation of an MMIO entry: it stands wherever neither hardware nor MMU-present want a bit. */
static u64 generation_mmio_spte_mask(u64 gen)
{
#ifdef CONFIG_HAVE_KVM_MMU_PRESENT_HIGH
	return (gen & 0x1ff) << 3 | (gen >> 9 & 0x7f) << 52 | (gen >> 16 & 7) << 60;
#else
	return (gen & 0xff) << 3 | (gen >> 8 & 0x7ff) << 52;
#endif
}

static u64 get_mmio_spte_generation(u64 spte)
{
#ifdef CONFIG_HAVE_KVM_MMU_PRESENT_HIGH
	return (spte >> 3 & 0x1ff) | (spte >> 52 & 0x7f) << 9 | (spte >> 60 & 7) << 16;
#else
	return (spte >> 3 & 0xff) | (spte >> 52 & 0x7ff) << 8;
#endif
}

static u64 make_mmio_spte(struct kvm_ept ept, u64 gfn, u64 gen)
{
	u64 gpa = gfn << 12;
	u64 moved = (gpa & ept.l1tf_mask) << SHADOW_NONPRESENT_OR_RSVD_MASK_LEN;

	return VMX_EPT_MISCONFIG_WX_VALUE | generation_mmio_spte_mask(gen) | gpa | ept.l1tf_mask | moved;
}

static u64 make_nonleaf_spte(struct kvm_ept ept, u64 table, bool ad_disabled)
{
	u64 tracked = ad_disabled ? SPTE_TDP_AD_DISABLED : when(ept.ad_bits, VMX_EPT_ACCESS_BIT);

	return SPTE_MMU_PRESENT_MASK | shadow_present_mask(ept) | VMX_EPT_RWX_MASK | tracked | table << 12;
}

static u64 mark_spte_for_access_track(struct kvm_ept ept, u64 spte)
{
	u64 saved = spte & SHADOW_ACC_TRACK_SAVED_BITS_MASK;

	if (spte_ad_enabled(spte))
		return spte & ~when(ept.ad_bits, VMX_EPT_ACCESS_BIT);
	if (is_access_track_spte(spte))
		return spte;
	return (spte & ~VMX_EPT_RWX_MASK) | saved << SHADOW_ACC_TRACK_SAVED_BITS_SHIFT;
}

static u64 restore_acc_track_spte(u64 spte)
{
	u64 saved = spte >> SHADOW_ACC_TRACK_SAVED_BITS_SHIFT & SHADOW_ACC_TRACK_SAVED_BITS_MASK;
	u64 cleared = VMX_EPT_RWX_MASK | SHADOW_ACC_TRACK_SAVED_BITS_MASK << SHADOW_ACC_TRACK_SAVED_BITS_SHIFT;

	return (spte & ~cleared) | saved;
}

static u64 make_spte(struct kvm_ept ept, struct leaf leaf)
{
	bool writable = leaf.write && leaf.host_writable;
	bool tracks = ept.ad_bits && !leaf.ad_disabled;
	u64 how = leaf.ad_disabled ? SPTE_TDP_AD_DISABLED : when(leaf.wrprot_only, SPTE_TDP_AD_WRPROT_ONLY);
	u64 type = (u64)(leaf.memtype & 7) << 3 | when(leaf.ipat, VMX_EPT_IPAT_BIT);
	u64 spte = SPTE_MMU_PRESENT_MASK | shadow_present_mask(ept) | VMX_EPT_READABLE_MASK;

	spte |= how | type | leaf.pfn << 12;
	spte |= when(leaf.exec, VMX_EPT_EXECUTABLE_MASK) | when(leaf.huge, PT_PAGE_SIZE_MASK);
	spte |= when(leaf.host_writable, EPT_SPTE_HOST_WRITABLE);
	spte |= when(writable, VMX_EPT_WRITABLE_MASK | EPT_SPTE_MMU_WRITABLE);
	spte |= when(writable && tracks, VMX_EPT_DIRTY_BIT) | when(tracks && !leaf.prefetch, VMX_EPT_ACCESS_BIT);
	return leaf.prefetch ? mark_spte_for_access_track(ept, spte) : spte;
}

/* A leaf after any of the flows that change one in place, of KVM's or of the walkers, had their turn. */
static u64 make_spte_later(struct kvm_ept ept, struct leaf leaf, struct later later)
{
	u64 spte = make_spte(ept, leaf);
	bool writable = is_writable_pte(spte);

	spte &= ~when(later.wrprot_dirty || later.wrprot_shadow, VMX_EPT_WRITABLE_MASK);
	spte &= ~when(later.wrprot_shadow, EPT_SPTE_MMU_WRITABLE);
	spte &= ~when(later.drop_exec, VMX_EPT_EXECUTABLE_MASK);
	spte &= ~when(later.clear_accessed, VMX_EPT_ACCESS_BIT);
	spte &= ~when(later.clear_dirty, VMX_EPT_DIRTY_BIT);
	spte |= when(later.mark_accessed && ept.ad_bits && !leaf.ad_disabled, VMX_EPT_ACCESS_BIT);
	spte |= when(later.mark_dirty && writable && ept.ad_bits && !leaf.ad_disabled, VMX_EPT_DIRTY_BIT);
	return spte;
}

static u64 make_tracked_spte(struct kvm_ept ept, struct leaf leaf, struct later later)
{
	return mark_spte_for_access_track(ept, make_spte_later(ept, leaf, later));
}

/* What takes the place of a huge leaf: the part of it that an index names, one level below. X comes back where the mitigation had taken it. */
static u64 make_huge_page_split_spte(u64 huge, u64 index, u64 child_shift, bool small, bool executable)
{
	u64 child = huge + (index << (child_shift & 31));

	if (!small)
		return child;
	return (child & ~PT_PAGE_SIZE_MASK) | when(executable && (huge & VMX_EPT_RWX_MASK) != 0, VMX_EPT_EXECUTABLE_MASK);
}
