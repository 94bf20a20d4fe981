/*
 * The exported TDP: a root shared with an IOMMU, its importers, and who may share at all.
 */

/* Every importer drops what its IOMMU has cached. Returns when the hardware has. */
void kvm_tdp_fd_flush_notify(struct kvm *kvm)
{
	lock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
	if (kvm_tdp_fd_has_importer(kvm)) {
		qi_submit_iotlb_domain();
		qi_wait();
	}
	unlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
}

/* Tables may have been unlinked in the range: the hint that only leaves changed is never given. */
void kvm_tdp_fd_flush_notify_range(struct kvm *kvm, gfn_t start, gfn_t last)
{
	lock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
	if (kvm_tdp_fd_has_importer(kvm)) {
		qi_submit_iotlb(start, last, false);
		qi_wait();
	}
	unlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
}

/* A device that does not snoop cannot share: the table's memory types are fixed. */
static int kvm_domain_attach_device(struct kvm *kvm, struct device *dev)
{
	if (!iommu_is_coherent(dev)) {
		note_refused();
		return -EINVAL;
	}
	pasid_entry_set(dev);
	return 0;
}

/* KVM_CREATE_TDP_FD: refused while non-coherent DMA is registered. */
static int kvm_create_tdp_fd(struct kvm *kvm)
{
	struct kvm_mmu_page *root = kvm_exported_root(kvm);

	write_lock(&kvm->mmu_lock);
	if (kvm_arch_has_noncoherent_dma(kvm)) {
		note_refused();
		write_unlock(&kvm->mmu_lock);
		return -EINVAL;
	}
	if (root->role.invalid) {
		write_unlock(&kvm->mmu_lock);
		return -EAGAIN;
	}
	root->exported = true;
	kvm_tdp_set_exported(kvm);
	write_unlock(&kvm->mmu_lock);
	return 0;
}

/* Userspace shares the table with a device: export, import, attach. The importer is known before the device walks. */
void kvm_share_tdp(struct kvm *kvm, struct device *dev)
{
	if (kvm_create_tdp_fd(kvm) == 0) {
		lock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
		importer_list_add(kvm);
		unlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);
		kvm_domain_attach_device(kvm, dev);
	}
}

/* VFIO learns that a device's DMA need not snoop: refused while the table is shared. */
int kvm_arch_register_noncoherent_dma(struct kvm *kvm, struct device *dev)
{
	write_lock(&kvm->mmu_lock);
	if (kvm_tdp_is_exported(kvm)) {
		note_refused();
		write_unlock(&kvm->mmu_lock);
		return -EBUSY;
	}
	noncoherent_dma_count_inc(kvm, dev);
	write_unlock(&kvm->mmu_lock);
	return 0;
}

void kvm_arch_unregister_noncoherent_dma(struct kvm *kvm, struct device *dev)
{
	write_lock(&kvm->mmu_lock);
	noncoherent_dma_count_dec(kvm, dev);
	write_unlock(&kvm->mmu_lock);
}

/* Another device joins the domain of a table that is shared already: there is a domain once its importer is registered. */
int iommufd_attach_kvm_hwpt(struct kvm *kvm, struct device *dev)
{
	if (!kvm_tdp_fd_has_importer(kvm))
		return -EINVAL;
	return kvm_domain_attach_device(kvm, dev);
}
