/*
 * Importers whose devices have a TLB of their own (PCIe ATS): what the IOTLB
 * holds fills them, so they are told after it has forgotten.
 */

/* Every importer drops what its IOMMU has cached, and its devices what that gave them. Returns when the hardware has. */
void kvm_tdp_fd_flush_notify(struct kvm *kvm)
{
	lock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
	if (kvm_tdp_fd_has_importer(kvm)) {
		qi_submit_iotlb_domain();
		qi_wait();
		qi_submit_dev_iotlb_domain();
		qi_wait();
	}
	unlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
}

/* The same for a range. */
void kvm_tdp_fd_flush_notify_range(struct kvm *kvm, gfn_t start, gfn_t last)
{
	lock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
	if (kvm_tdp_fd_has_importer(kvm)) {
		qi_submit_iotlb(start, last, false);
		qi_wait();
		qi_submit_dev_iotlb(start, last);
		qi_wait();
	}
	unlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
}
