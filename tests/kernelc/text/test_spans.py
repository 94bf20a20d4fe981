"""In which function a line stands, told without parsing the file."""

from __future__ import annotations

import pytest

from tdpcheck.kernelc.text.spans import functions_at, says_something

TEXT = """#include <linux/x.h>
#define M(x) { (x)
struct s {
	int (*f)(int);
};
static const struct s ops = {
	.f = g,
};
int prototype(int a,
	int b);
EXPORT_SYMBOL(prototype);

/* int no(void) { } */
static __always_inline int
first(struct s *s, int (*f)(int))
{
	if (s) {
		f(1); /* { */
	}
	return 0;
}
module_param(x, int, 0644);
void second(void) { }
enum e { A, B };
typedef int (*h)(int);
unsigned long third(void)
{
#ifdef CONFIG_X
	return 1;
#endif
}
"""


def test_functions_are_found_by_their_brackets() -> None:
    """Tables, prototypes, typedefs and uses of macros are none."""
    assert functions_at(TEXT, "a.c") == (("first", 14, 21), ("second", 23, 23), ("third", 26, 31))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        *((n, False) for n in (1, 5, 9, 10, 12, 13, 16, 19)),
        *((n, True) for n in (2, 4, 7, 11, 14, 18, 22, 24, 28, 29)),
    ],
)
def test_lines_that_say_nothing(line: int, says: bool) -> None:
    """Brackets, comments, includes and prototypes decide nothing; a macro's use at file level may."""
    assert (line in says_something(TEXT, "a.c")) is says


def test_what_is_no_c_has_no_functions_and_says_something_everywhere() -> None:
    """An open comment swallows the rest: nothing is claimed of it."""
    assert functions_at("int f(void) { }\n/* open", "a.c") == ()
    assert says_something("int f(void) { }\n/* open", "a.c") == {1, 2}
