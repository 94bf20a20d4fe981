#!/bin/busybox sh
# The first process of the recorded machine: loads KVM, defines the probes, runs the workload, sends the trace to the second serial port.
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
mount -t tracefs t /sys/kernel/tracing
stty -F /dev/ttyS1 raw -echo
given() { sed -n "s/.*tdpcheck\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
for m in $(cat /modules/order); do insmod "/modules/$m" || echo "RECORD no module $m"; done
echo "RECORD release $(uname -r)"
echo "RECORD npt $(cat /sys/module/kvm_amd/parameters/npt) tdp_mmu $(cat /sys/module/kvm/parameters/tdp_mmu)"
[ -e /dev/kvm ] || echo "RECORD failed: no /dev/kvm in the machine"
cd /sys/kernel/tracing || exit 1
echo 0 > tracing_on
echo 24576 > buffer_size_kb
echo counter > trace_clock
echo > set_event
/vmm probes < /probes.txt > /tmp/probes
grep '^#' /tmp/probes | sed 's/^#/RECORD /'
grep -v '^#' /tmp/probes | while read -r line; do
	name=${line%% *}
	name=${name#?:}
	[ -d "events/kprobes/$name" ] && continue
	echo "$line" >> kprobe_events 2> /dev/null || echo "RECORD refused $line"
done
for e in kprobes/wlock kprobes/wlocked kprobes/wunlock kprobes/rlock kprobes/rlocked kprobes/runlock kmem/mm_page_free kmem/mm_page_free_batched; do
	[ -e events/$e/filter ] && echo 'comm == "vmm" || comm == "khugepaged" || comm ~ "kcompactd*"' > events/$e/filter
done
for e in kvmmmu/kvm_tdp_mmu_spte_changed kvmmmu/fast_page_fault kvm/kvm_page_fault kvm/kvm_entry kvm/kvm_exit kmem/mm_page_free kmem/mm_page_free_batched; do
	echo 1 > events/$e/enable || echo "RECORD refused event $e"
done
echo "RECORD probes $(ls -d events/kprobes/*/ | sed 's,events/kprobes/,,' | tr -d '/' | tr '\n' ' ')"
for d in events/kprobes/*/; do echo 1 > $d/enable || echo "RECORD refused event $d"; done
for e in $(given slow | tr , ' '); do
	# A histogram of call stacks takes time; nobody reads it.
	for keys in stacktrace common_pid,stacktrace common_cpu,stacktrace; do
		[ -d "events/kprobes/$e" ] && echo "hist:keys=$keys" >> "events/kprobes/$e/trigger" 2> /dev/null && echo "RECORD slow $e"
	done
done
H=/sys/kernel/mm/transparent_hugepage
[ $(($(given seed) % 3)) = 0 ] || echo 0 > $H/use_zero_page # what is read first is a huge page of its own
echo 50 > $H/khugepaged/scan_sleep_millisecs
echo 20 > $H/khugepaged/alloc_sleep_millisecs
echo 1 > tracing_on
/vmm run "$(given seed)" "$(given rounds)" || echo "RECORD failed: the workload"
sleep 1
echo 0 > tracing_on
echo "RECORD lost $(cat per_cpu/cpu*/stats | grep -E '^(overrun|dropped)' | tr '\n' ' ')"
gzip -1 < trace > /dev/ttyS1
echo "RECORD done"
sleep 1
poweroff -f
