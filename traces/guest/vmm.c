/*
 * A small VMM: one data memslot of two regions, vCPUs that touch pages, and threads of the host that take them away.
 * What happens is drawn from a seed; when it happens is the machine's.
 *
 * vmm probes < TEMPLATES        definitions of probes, see btf.h
 * vmm run SEED ROUNDS           the workload
 */
#define _GNU_SOURCE
#include "btf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VCPUS 3
#define HUGE 0x200000UL
#define GPA 0x40000000UL
#define PAGES 1024
#define SIZE (PAGES * 4096UL)
#define PORT 0x20

static int kvm, vm;
static char *mem;
static _Atomic int stop;
static struct vcpu { int fd; struct kvm_run *run; uint64_t seed; pthread_t thread; unsigned long faults; } vcpus[VCPUS];

/* SplitMix64 */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static long must(long result, const char *what)
{
	if (result < 0) {
		printf("VMM failed: %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return result;
}

/* Few pages, so that the same ones meet: 3 of the region that may be huge, 3 of the one that may not. */
static unsigned long page(uint64_t *seed)
{
	static const unsigned long some[] = { 0, 1, 7, 512, 513, 519 };

	return some[draw(seed) % 6];
}

/*
 * again: in eax, PORT; mov ebx, eax; shr ebx, 1; jc write; mov ecx, [eax]; jmp again; write: dec eax; inc dword [eax]; jmp again
 */
static const unsigned char guest[] = { 0xe5, PORT, 0x89, 0xc3, 0xd1, 0xeb, 0x72, 0x04, 0x8b, 0x08, 0xeb, 0xf4, 0x48, 0xff, 0x00, 0xeb, 0xef };

static void *vcpu_main(void *data)
{
	struct vcpu *v = data;
	struct kvm_run *run = v->run;

	while (!stop) {
		if (ioctl(v->fd, KVM_RUN, 0) < 0) {
			if (errno == EFAULT)
				usleep(300);
			else if (errno != EINTR && errno != EAGAIN)
				must(-1, "KVM_RUN");
			continue;
		}
		if (run->exit_reason == KVM_EXIT_IO) {
			uint32_t to = GPA + 4096 * page(&v->seed) + 64;

			if (draw(&v->seed) % 4)
				to |= 1;
			if (draw(&v->seed) % 3 == 0)
				usleep(draw(&v->seed) % 900);
			memcpy((char *)run + run->io.data_offset, &to, 4);
			v->faults++;
		} else if (run->exit_reason == KVM_EXIT_MMIO) {
			memset(run->mmio.data, 0, 8);
			usleep(200);
		} else {
			printf("VMM failed: exit %u\n", run->exit_reason);
			exit(1);
		}
	}
	return NULL;
}

static void slot(unsigned long size, int flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = 1, .flags = flags, .guest_phys_addr = GPA, .memory_size = size, .userspace_addr = (uint64_t)mem,
	};

	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r), "KVM_SET_USER_MEMORY_REGION");
}

static void fill(void)
{
	madvise(mem, HUGE, MADV_HUGEPAGE);
	madvise(mem + HUGE, HUGE, MADV_NOHUGEPAGE);
	mem[0] = 1;
}

/* A second thread of the host: it takes single pages, and nothing else. */
static void *taker(void *data)
{
	uint64_t seed = *(uint64_t *)data ^ 0x5555;

	while (!stop) {
		madvise(mem + 4096 * page(&seed), 4096, MADV_DONTNEED);
		usleep(500 + draw(&seed) % 4000);
	}
	return NULL;
}

static void parameter(const char *name, const char *value)
{
	int fd = open(name, O_WRONLY);

	if (fd >= 0 && write(fd, value, strlen(value)) < 0)
		printf("VMM: %s not written\n", name);
	close(fd);
}

static void round_of(uint64_t *seed, int dirty)
{
	unsigned long first = page(seed);
	static uint64_t bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	switch (draw(seed) % 16) {
	case 0 ... 4: madvise(mem + 4096 * first, 4096, MADV_DONTNEED); break;
	case 5 ... 6: madvise(mem + 4096 * (first & ~511UL), HUGE, MADV_DONTNEED); break;
	case 7 ... 8: madvise(mem + 4096 * first, 4 * 4096, MADV_DONTNEED); break;
	case 9:
		mprotect(mem + HUGE, HUGE, PROT_READ);
		usleep(draw(seed) % 300);
		mprotect(mem + HUGE, HUGE, PROT_READ | PROT_WRITE);
		break;
	case 10 ... 12:
		madvise(mem, HUGE, MADV_DONTNEED);
		mem[0] = 1; /* the host maps it huge again */
		break;
	case 13:
		if (dirty)
			must(ioctl(vm, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
		else
			madvise(mem + 4096 * first, 4096, MADV_DONTNEED);
		break;
	case 14: usleep(draw(seed) % 5000); break;
	case 15: madvise(mem + 4096 * 510, 4 * 4096, MADV_DONTNEED); break;
	}
}

static int run(uint64_t seed, int rounds)
{
	struct kvm_userspace_memory_region code = { .memory_size = 4096 };
	pthread_t second;
	uint64_t other = seed;
	char *low, *raw;
	int size, dirty = 0;

	kvm = must(open("/dev/kvm", O_RDWR), "open /dev/kvm");
	vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	raw = mmap(NULL, SIZE + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem = (char *)(((uintptr_t)raw + HUGE - 1) & ~(HUGE - 1));
	fill();
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(low, guest, sizeof(guest));
	code.userspace_addr = (uint64_t)low;
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &code), "KVM_SET_USER_MEMORY_REGION");
	slot(SIZE, 0);
	size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	for (long i = 0; i < VCPUS; i++) {
		struct kvm_segment flat = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
		struct kvm_regs regs = { .rflags = 2 };
		struct kvm_sregs sregs;
		struct vcpu *v = vcpus + i;

		v->seed = seed * 7919 + i;
		v->fd = must(ioctl(vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
		v->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
		must(ioctl(v->fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
		sregs.cs = flat;
		flat.type = 3;
		flat.selector = 16;
		sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
		sregs.cr0 |= 1;
		must(ioctl(v->fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
		must(ioctl(v->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	}
	printf("VMM slot gfn 0x%lx pages %d hva 0x%lx vcpus %d\n", GPA / 4096, PAGES, (unsigned long)mem, VCPUS);
	fflush(stdout);
	for (long i = 0; i < VCPUS; i++)
		pthread_create(&vcpus[i].thread, NULL, vcpu_main, vcpus + i);
	pthread_create(&second, NULL, taker, &other);
	for (int i = 0; i < rounds; i++) {
		uint64_t what = draw(&seed) % 24;

		if (what <= 1)
			slot(SIZE, (dirty = !dirty) ? KVM_MEM_LOG_DIRTY_PAGES : 0);
		else if (what == 2 && i % 3 == 0) {
			slot(0, 0);
			usleep(draw(&seed) % 500);
			slot(SIZE, dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0);
		} else if (what == 2 && i % 6 == 1)
			parameter("/sys/module/kvm/parameters/nx_huge_pages", draw(&seed) % 2 ? "force" : "off");
		else
			round_of(&seed, dirty);
		usleep(500 + draw(&seed) % 3000);
	}
	stop = 1;
	usleep(30000);
	for (long i = 0; i < VCPUS; i++)
		printf("VMM vcpu %ld touched %lu\n", i, vcpus[i].faults);
	/* Some end with vCPUs inside: the mm goes away with all of it. */
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "probes"))
		return define_probes();
	if (argc == 4 && !strcmp(argv[1], "run"))
		return run(strtoull(argv[2], NULL, 0), atoi(argv[3]));
	fprintf(stderr, "usage: vmm probes | vmm run SEED ROUNDS\n");
	return 2;
}
