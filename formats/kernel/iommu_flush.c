/*
 * From a range of pages to invalidation descriptors. Our words, the kernel's names.
 * Sources: iommu_flush_iotlb_psi(), drivers/iommu/intel/iommu.c, and qi_flush_dev_iotlb(), drivers/iommu/intel/dmar.c, Linux 6.1; the same
 * in 64 bits, calculate_psi_aligned_address(), drivers/iommu/intel/cache.c, Linux 6.12; kvm_domain_cache_invalidate(), patch 22 of the RFC.
 * A descriptor is told whole: qi_iotlb_dsi() drops a domain, qi_iotlb_psi() a block of pages, qi_dev_iotlb() hands on its second word.
 */

#define VTD_PAGE_SHIFT 12
#define VTD_PAGE_MASK (~0xffful)
#define QI_DEV_IOTLB_SIZE 1ul
#define BITS_PER_LONG 64
#define MAX_AGAW_PFN_WIDTH 52

/* What the unit says of itself: the largest address mask that it takes, whether it invalidates pages at all. */
struct intel_iommu {
	u64 max_amask;
	bool pgsel_inv;
	bool caching_mode;
};

static unsigned long __roundup_pow_of_two(unsigned long n)
{
	unsigned long bits = fls_long(n - 1);

	return bits < BITS_PER_LONG ? 1ul << bits : 0;
}

/* log2, rounded down; of 0 it is -1, as a 32-bit fls() makes it. */
static unsigned int ilog2(unsigned int n)
{
	return fls(n) - 1u;
}

static unsigned int ilog2_long(unsigned long n)
{
	return (unsigned int)fls_long(n) - 1u;
}

/* In the second word of a device-TLB descriptor the lowest address bit that is 0 says how large the block is. x86 shifts modulo 64. */
static void qi_flush_dev_iotlb(u64 addr, unsigned int mask)
{
	unsigned int by = (VTD_PAGE_SHIFT + mask - 1) & 63;

	if (mask)
		qi_dev_iotlb(((addr | ((1ul << by) - 1)) & VTD_PAGE_MASK) | QI_DEV_IOTLB_SIZE);
	else
		qi_dev_iotlb(addr & VTD_PAGE_MASK);
}

static void flush_iotlb(struct intel_iommu iommu, u64 addr, unsigned int mask)
{
	if (!iommu.pgsel_inv || mask > iommu.max_amask)
		qi_iotlb_dsi();
	else
		qi_iotlb_psi(addr & VTD_PAGE_MASK, mask & 0x3f);
}

/* How many low bits of a page number a block must leave open so that it holds all of [pfn, pfn + pages). */
static unsigned int covering_mask(unsigned long pfn, unsigned long pages, unsigned long aligned_pages, unsigned int mask, unsigned int none)
{
	unsigned long below = aligned_pages - 1;
	unsigned long shared = ~(pfn ^ (pfn + pages - 1)) & ~below;

	if ((pfn & below) == 0)
		return mask;
	return shared ? (unsigned int)__ffs(shared) : none;
}

/* 6.1: pages is 32 bits wide, and so is what it is rounded up to. */
static void iommu_flush_iotlb_psi(struct intel_iommu iommu, unsigned long pfn, unsigned int pages, bool map)
{
	unsigned int aligned_pages = (unsigned int)__roundup_pow_of_two(pages);
	unsigned int mask = ilog2(aligned_pages);
	u64 addr = pfn << VTD_PAGE_SHIFT;

	BUG_ON(pages == 0);
	mask = covering_mask(pfn, pages, aligned_pages, mask, BITS_PER_LONG);
	flush_iotlb(iommu, addr, mask);
	if (!iommu.caching_mode || !map)
		qi_flush_dev_iotlb(addr, mask);
}

/* The caller has a 64-bit count, as a range of KVM's has. */
static void flush_range_of_6_1(struct intel_iommu iommu, unsigned long pfn, u64 pages)
{
	iommu_flush_iotlb_psi(iommu, pfn, (unsigned int)pages, false);
}

/* Before 5.18 the address was not looked at: the hardware drops an aligned block, and so what is below. */
static void flush_range_before_5_18(struct intel_iommu iommu, unsigned long pfn, u64 pages)
{
	unsigned int mask = ilog2((unsigned int)__roundup_pow_of_two((unsigned int)pages));

	BUG_ON((unsigned int)pages == 0);
	flush_iotlb(iommu, pfn << VTD_PAGE_SHIFT, mask);
	qi_flush_dev_iotlb(pfn << VTD_PAGE_SHIFT, mask);
}

/* 6.12: everything in 64 bits; the address is aligned before any descriptor is made of it. */
static void flush_range_of_6_12(struct intel_iommu iommu, unsigned long pfn, u64 pages)
{
	unsigned long aligned_pages = __roundup_pow_of_two(pages);
	unsigned int mask = covering_mask(pfn, pages, aligned_pages, ilog2_long(aligned_pages), MAX_AGAW_PFN_WIDTH);
	u64 addr = mask < 52 ? (pfn << VTD_PAGE_SHIFT) & ~((1ul << (VTD_PAGE_SHIFT + mask)) - 1) : 0;

	flush_iotlb(iommu, addr, mask);
	qi_flush_dev_iotlb(addr, mask);
}

static void intel_flush_iotlb_all(struct intel_iommu iommu)
{
	qi_iotlb_dsi();
	if (!iommu.caching_mode)
		qi_flush_dev_iotlb(0, MAX_AGAW_PFN_WIDTH);
}

/* The RFC: an address and a size in bytes; (0, -1) means everything, whatever else is a range. */
static void kvm_domain_cache_invalidate(struct intel_iommu iommu, u64 address, u64 size)
{
	if (address == 0 && size == ~0ul) {
		intel_flush_iotlb_all(iommu);
		return;
	}
	iommu_flush_iotlb_psi(iommu, address >> VTD_PAGE_SHIFT, (unsigned int)(size >> VTD_PAGE_SHIFT), false);
}

/* KVM tells the importer pages; everything is told as (0, -1). */
static void kvm_tdp_fd_flush_range(struct intel_iommu iommu, u64 gfn, u64 pages)
{
	kvm_domain_cache_invalidate(iommu, gfn << VTD_PAGE_SHIFT, pages << VTD_PAGE_SHIFT);
}

static void kvm_tdp_fd_flush_all(struct intel_iommu iommu)
{
	kvm_domain_cache_invalidate(iommu, 0, ~0ul);
}

/* What changed is one entry of a level; told are the pages of that entry, from its first one on. */
static void kvm_flush_remote_tlbs_sptep(struct intel_iommu iommu, u64 gfn, u64 level_shift)
{
	kvm_tdp_fd_flush_range(iommu, gfn & ~((1ul << (level_shift & 31)) - 1), 1ul << (level_shift & 31));
}

/* The older slip (kvm_set_pte_rmapp(), until 6.2): as many pages, but from the first one of the table page that holds the entry. */
static void flush_from_table_page(struct intel_iommu iommu, u64 gfn, u64 level_shift)
{
	kvm_tdp_fd_flush_range(iommu, gfn & ~((1ul << ((level_shift + 9) & 31)) - 1), 1ul << (level_shift & 31));
}
