"""A formal model checker for page tables that KVM and an IOMMU share: a change goes in, a verdict comes out."""
