"""Values of 64 bits: what KVM writes into an entry, what each walker reads there, and what a descriptor of the IOMMU's queue covers."""
