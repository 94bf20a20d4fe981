/*
 * Small threads for the toy kernel in examples/toy_kernel.py. Each function that is not static is the entry of one thread and is
 * named for what it is about; together they use every construct of the C subset.
 */

struct pair {
	u2 a;
	u2 b[2];
};

struct flags {
	bool a;
	bool b;
};

struct bits {
	bool b[2];
};

/* Branches, loops and jumps */

void if_else(void)
{
	u2 n = any_u2();

	if (n > 1)
		*cell0 = n;
	else if (n)
		*cell1 = 3;
	*cell0 = 1;
}

void for_loop(void)
{
	u2 i;

	for (i = 0; i < 3; i++)
		*cell0 = i;
}

void while_loop(void)
{
	while (*cell0 != 2)
		*cell0 += 1;
}

void do_while(void)
{
	u2 i = 0;

	do {
		i++;
		if (i == 2)
			continue;
		*cell1 = i;
	} while (i < 3);
}

void break_continue(void)
{
	u2 n = 0;

	for (;;) {
		n++;
		if (n == 1)
			continue;
		if (any_bool())
			break;
		if (n == 3)
			break;
		*cell0 = n;
	}
	*cell1 = n;
}

int goto_retry(void)
{
	u2 old;
	bool done = false;

retry:
	old = *cell0;
	if (old == 3)
		goto out;
	if (!cmpxchg(cell0, &old, old + 1)) {
		if (!done) {
			done = true;
			goto retry;
		}
	}
out:
	*cell1 = old;
	return 0;
}

void jump_over_a_declaration(void)
{
	if (any_bool())
		goto out;
	u2 n;
	n = 2;
	*cell0 = 1;
out:
	*cell1 = n;
}

void jump_into_a_loop(void)
{
	u2 i = 2;

	if (any_bool())
		goto in;
	while (i != 1) {
in:
		*cell0 = i;
		i--;
	}
}

void jump_back_and_forth(void)
{
	u2 i = 0;

	goto first;
again:
	*cell0 = i;
	if (i == 2)
		return;
first:
	i++;
	goto again;
}

void commas(void)
{
	u2 i, k;

	for (i = 0, k = 3; i < k; i++, k--)
		*cell0 = i;
	*cell1 = (i++, i);
}

void loops_without_a_visible_step(void)
{
	u2 n = any_u2();

	while (n)
		n--;
	*cell0 = n;
	for (;;) {
		if (any_bool())
			break;
	}
	*cell1 = 1;
}

/* Calls */

static u2 inner(u2 n)
{
	if (n == 0)
		return 3;
	if (n == 1) {
		*cell0 = n;
		return 2;
	}
	*cell1 = n;
	return n;
}

static u2 outer(u2 n)
{
	if (any_bool())
		return inner(n);
	return inner(inner(n));
}

void nested_returns(void)
{
	*cell0 = outer(any_u2());
}

static u2 down(u2 n)
{
	while (n)
		n--;
	return n;
}

void parameters_changed_by_the_callee(void)
{
	u2 n = 3;

	*cell0 = down(n);
	*cell1 = n;
}

static u2 one(u2 n)
{
	return n + 1;
}

static u2 zero(u2 n)
{
	*cell1 = n;
	return 0;
}

static u2 apply(u2 (*g)(u2 n), u2 n)
{
	if (!g)
		return 2;
	return g(g(n));
}

void functions_as_arguments(void)
{
	*cell0 = apply(one, 1);
	*cell0 = apply(zero, 3);
	*cell1 = apply(NULL, 0);
}

static u2 deep(u2 n)
{
	if (n == 1)
		return 0;
	*cell0 = n;
	return deep(n - 1) + 1;
}

void recursion(void)
{
	*cell1 = deep(any_bool() ? 2 : 1);
}

void arguments(u2 n, struct pair *p, struct kvm *kvm)
{
	write_lock(&kvm->mmu_lock);
	n += p->a;
	*cell0 = n;
	write_unlock(&kvm->mmu_lock);
	*cell1 = p->a;
}

/* Expressions */

static bool bump(u2 *p)
{
	*p = *p + 1;
	return *p != 2;
}

void effects_in_conditions(void)
{
	u2 n = any_u2();

	if (bump(&n) && (bump(&n) || n == 2))
		*cell0 = n;
	else
		*cell1 = n;
	*cell0 = !bump(&n) ? *cell1 : n;
	bool both = n == 3 && bump(&n);
	if (both)
		*cell1 = 0;
}

void checks_in_dead_operands(void)
{
	bool b = any_bool();
	u2 n = *cell0;

	if (b && WARN_ON(n == 1))
		*cell1 = 2;
	b = b || WARN_ON(n == 1);
	*cell0 = b ? 1 : 0;
}

void compound_assignment(void)
{
	u2 n = 1;

	n += 2;
	n -= *cell0;
	n |= 1;
	n ^= any_u2();
	n <<= 1;
	*cell0 &= n;
	*cell1 = n;
}

void steps_up_and_down(void)
{
	u2 n = any_u2();

	*cell0 = n++;
	*cell1 = --n;
	++*cell0;
	*cell1 = n--;
	*cell0 = n;
}

static u2 set(u2 *p)
{
	*p = 3;
	return 1;
}

static u2 sum(u2 n, u2 m)
{
	return n + m;
}

void order_of_evaluation(void)
{
	u2 n = any_u2();

	*cell0 = n + set(&n);
	n = any_bool();
	*cell1 = sum(n, set(&n));
	n = any_bool();
	save(n == set(&n) ? cell0 : cell1, n++);
	n = 1;
	n = n = n + 1;
	*cell0 = n;
	u2 m = (n += 1) + n;
	*cell1 = m;
}

void arithmetic(void)
{
	s4 a = any_u2(), b = -3;
	u4 c = any_u2();

	if (a + b < 0)
		*cell0 = 1;
	if (c - 1 > 7)
		*cell1 = 2;
	if (b >> 1 == -2)
		*cell0 = 3;
	if (c >> 1)
		*cell1 = c << 1;
	if (-1 < a && a > b && c >= b)
		*cell0 = 0;
	*cell1 = ~c & 3;
	*cell0 = c * 3;
	*cell1 = any_bool() + c;
}

void literal_choices(void)
{
	u2 n = any_bool() ? 1 : 2;

	*cell0 = n;
	*cell1 = (n == 1 ? 1 : 0) + 1;
	*cell0 = any_bool() ? 3 : *cell1;
}

void levels(void)
{
	level_t l = any_bool() ? PG_LEVEL_4K : PG_LEVEL_1G;

	if (l > PG_LEVEL_2M)
		*cell0 = 1;
	if (!l)
		*cell1 = 1;
	if (l >= PG_LEVEL_4K)
		*cell0 = 2;
}

/* Locals and pointers to them */

static void fill(struct pair *p, u2 n)
{
	p->a = n;
	p->b[0] = p->a;
	p->b[1] = p->b[0] + 1;
}

void structs(void)
{
	struct pair p = { .a = 1 }, q;

	fill(&q, any_u2());
	*cell0 = p.a + p.b[1];
	p = q;
	q.a = 0;
	*cell1 = p.b[p.a & 1];
	*cell0 = q.a;
}

void indices(void)
{
	struct pair p = {};
	u2 i = any_u2();

	if (i < 2) {
		p.b[i] = 1;
		p.b[1] |= 2;
	}
	*cell0 = p.b[0];
	*cell1 = i < 2 && p.b[i];
}

void chained_assignment(void)
{
	struct pair p = { .a = 1 };
	u2 i = any_bool(), n;

	n = p.b[i] = p.b[0] + 1;
	n = p.b[1] = p.b[i] += n;
	*cell0 = n;
	*cell1 = *cell0 = p.b[0] + i;
	n = p.b[i & 1]++ + p.b[0];
	*cell0 = n;
}

void index_out_of_bounds(void)
{
	struct pair p = {};
	u2 i = any_u2();

	p.b[i] = 2;
	*cell0 = p.b[0];
}

static u2 two(u2 *p, u2 *q, u2 n)
{
	*p = n;
	*q = *p + 1;
	return n + *p;
}

static u2 through(struct pair *s, u2 old)
{
	s->a = 3;
	return old;
}

void aliases(void)
{
	u2 n = 1;
	struct pair s = { .a = 2 };

	*cell0 = two(&n, &n, n);
	*cell1 = n;
	*cell0 = through(&s, s.a);
	*cell1 = s.a;
}

static void maybe(u2 *out)
{
	if (out)
		*out = 3;
}

void pointer_tests(void)
{
	u2 n = 0;
	u2 *p = &n;

	maybe(NULL);
	*cell0 = n;
	maybe(p);
	*cell0 = *p + p[0];
}

void shadowing(void)
{
	u2 n = 1;
	{
		u2 n = 2;
		{
			u2 n = any_u2();
			n++;
			*cell0 = n;
		}
		*cell1 = n;
	}
	*cell0 = n;
	{
		bool n = any_bool();
		if (n)
			*cell1 = 0;
	}
	{
		u2 k = 1;
		*cell0 = k;
	}
	{
		u2 k;
		*cell0 = k;
	}
}

void uninitialised(void)
{
	u2 n;
	struct pair p;

	if (any_bool())
		n = 1;
	*cell0 = n;
	*cell1 = p.b[1];
	*cell1 = n;
}

/* Shared state */

void once(void)
{
	u2 n = READ_ONCE(*cell0), m;

	WRITE_ONCE(*cell1, n + 1);
	WRITE_ONCE(m, 2);
	trace_event(n);
	*cell0 = READ_ONCE(m);
}

void shared_fields(struct sp *sp)
{
	if (!sp)
		return;
	u2 n = sp->count;
	sp->count = n + 1;
	sp->stat = 1;
	sp->count += 1;
	if (sp->role.cell == cell1)
		*cell0 = n;
}

void assertions(struct kvm *kvm)
{
	WARN_ON(*cell0 == 1);
	lockdep_assert_held_write(&kvm->mmu_lock);
	write_lock(&kvm->mmu_lock);
	lockdep_assert_held_write(&kvm->mmu_lock);
	*cell0 = 1;
	write_unlock(&kvm->mmu_lock);
}

void reads_under_the_lock(struct kvm *kvm)
{
	u2 n;

	write_lock(&kvm->mmu_lock);
	n = *cell0;
	if (*cell1 == n)
		*cell0 = n + *cell0 + 1;
	if (any_bool()) {
		write_unlock(&kvm->mmu_lock);
		write_lock(&kvm->mmu_lock);
	}
	*cell1 = *cell0 - n;
	write_unlock(&kvm->mmu_lock);
	*cell0 = n;
}

void waiting(struct kvm *kvm)
{
	u2 n = any_u2();

	wait_marked(page0);
	*cell0 = n;
	read_lock(&kvm->mmu_lock);
	wait_marked(page0);
	if (is_marked(page0))
		*cell1 = n;
	read_unlock(&kvm->mmu_lock);
	mark(page0);
}

void locks_in_a_loop(struct kvm *kvm)
{
	while (any_bool()) {
		read_lock(&kvm->mmu_lock);
		read_unlock(&kvm->mmu_lock);
	}
	for (;;) {
		write_lock(&kvm->mmu_lock);
		if (*cell0 == 2) {
			write_unlock(&kvm->mmu_lock);
			return;
		}
		*cell0 += 1;
		write_unlock(&kvm->mmu_lock);
	}
}

void locals_across_locked_regions(struct kvm *kvm)
{
	u2 sum = 0, i, old;

	for (i = 0; i < 2; i++) {
		write_lock(&kvm->mmu_lock);
		old = *cell0;
		*cell0 = old + i + 1;
		sum += old;
		write_unlock(&kvm->mmu_lock);
	}
	write_lock(&kvm->mmu_lock);
	*cell1 += sum;
	write_unlock(&kvm->mmu_lock);
}

void locks_in_a_row(struct kvm *kvm)
{
	read_lock(&kvm->mmu_lock);
	read_unlock(&kvm->mmu_lock);
	write_lock(&kvm->mmu_lock);
	write_unlock(&kvm->mmu_lock);
	read_lock(&kvm->mmu_lock);
	*cell0 += 1;
	read_unlock(&kvm->mmu_lock);
}

/* Both ways of a branch that does nothing lead to one place, and teach different things. */
void empty_branch(u2 n, bool present)
{
	bool leaf = n == 1, maps = true;

	if (maps != leaf)
		trace_event(1);
	if (present && !leaf)
		*cell0 = 1;
}

void into_a_loop_that_nothing_else_enters(void)
{
	bool more = false;

	if (any_bool()) {
		goto in;
		while (more) {
			*cell1 = 3;
in:
			*cell0 = 1;
			more = any_bool() && !more;
		}
		*cell1 = 2;
	} else {
		*cell1 = 1;
	}
	*cell0 = 2;
}

void into_a_loop_that_tests_last(void)
{
	u2 n = 0;

	goto in;
	do {
		*cell0 = n;
in:
		n++;
		if (n == 3)
			continue;
		*cell1 = n;
	} while (n < 3);
	*cell0 = 3;
}

void into_the_inner_of_two_loops(void)
{
	u2 i = 1;
	u2 k = 2;

	goto in;
	for (i = 0; i < 2; i++) {
		for (k = 0; k < 2; k++) {
			*cell1 = k;
in:
			*cell0 = i;
			if (k == 1)
				break;
		}
		if (any_bool())
			goto out;
	}
out:
	*cell1 = i;
}

void into_a_loop_without_a_condition(void)
{
	u2 n = 1;

	goto in;
	for (;;) {
		*cell1 = n;
		if (n == 3)
			break;
in:
		n++;
	}
	*cell0 = n;
}

void into_a_branch_and_a_loop_that_never_run(void)
{
	if (any_bool())
		goto one;
	goto two;
	if (false) {
		*cell0 = 3;
one:
		*cell0 = 1;
	}
	while (false) {
		*cell1 = 3;
two:
		*cell1 = 1;
	}
	*cell0 = 2;
}

void back_into_a_block_that_is_over(void)
{
	bool again = true;

	{
		u2 n = 1;

		*cell0 = n;
in:
		*cell1 = 1;
	}
	if (again) {
		again = false;
		goto in;
	}
	for (;;)
		if (any_bool())
			return;
}

/* Locals that are read before they are set, or nearly so */

void set_on_one_way(void)
{
	u2 n;

	if (any_bool())
		n = 1;
	*cell0 = n;
	*cell1 = n;
}

void set_where_a_flag_says_so(void)
{
	bool have = any_bool();
	u2 n;

	if (have)
		n = *cell0;
	*cell1 = 1;
	if (have)
		*cell0 = n;
}

static void set_maybe(u2 *p)
{
	if (any_bool())
		*p = 2;
}

void set_behind_a_pointer(void)
{
	u2 n;

	set_maybe(&n);
	if (n)
		*cell0 = n;
}

void copied_half_set(void)
{
	struct flags here, there;

	here.a = true;
	there = here;
	*cell0 = there.a;
	if (any_bool())
		there.b = true;
	*cell1 = there.b;
}

void set_element_by_element(void)
{
	struct bits it;
	u2 i = 0;

	do {
		if (any_bool())
			break;
		it.b[i] = i;
	} while (i++ < 1);
	i = any_bool();
	*cell0 = it.b[i];
}

void unset_in_every_round(void)
{
	u2 i;

	for (i = 0; i < 2; i++) {
		u2 n;

		if (i == 0)
			n = 1;
		*cell0 = n;
	}
}

void asked_only_where_it_is_set(void)
{
	bool set = any_bool(), n;

	if (set)
		n = any_bool();
	if (set && n)
		*cell0 = 1;
	*cell1 = n ? 1 : 2;
}

void unset_for_an_exchange(void)
{
	u2 old;

	if (any_bool())
		old = *cell0;
	if (!cmpxchg(cell0, &old, 3))
		*cell1 = old;
}

void counted_before_it_is_set(void)
{
	u2 n;

	if (any_bool())
		n++;
	else
		n = 0;
	n += 1;
	*cell0 = n;
}

void statements_in_an_expression(void)
{
	u2 n = any_u2(), i;

	for (i = 0; ({ WARN_ON(i > 2); }), i < 2; i++)
		*cell0 = ({ u2 m = *cell1; m += n; m; }) + ({ u2 m = i; ++m; });
	if (({ bool b = any_bool(); if (b) return; n; }))
		*cell1 = ({ u2 m; if (any_bool()) m = 1; m; });
}

void two_that_are_unset_behind_one_join(void)
{
	u2 n, m;

	if (any_bool())
		n = 1;
	if (any_bool())
		m = 1;
	*cell0 = n + m;
}

void warned_of_where_it_is_unset(void)
{
	bool have = any_bool();
	u2 n;

	if (have)
		n = 1;
	if (WARN_ON(!have))
		return;
	*cell0 = n;
}
