"""Forged certificates: every kind of trick that SMT-LIB leaves room for is refused with one error, and no solver is asked about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tdpcheck import recheck as recheck_room
from tdpcheck.core.errors import InputError
from tdpcheck.recheck.initial_state import no_start
from tdpcheck.recheck.instances import Instantiated
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.recheck.reader import parse
from tdpcheck.recheck.recheck import recheck
from tdpcheck.recheck.scripts import scripts
from tdpcheck.recheck.sexpr import read, spelled, write

FORGED = Path(__file__).parent / "forged"


def certificate(kind: str = "parametric", *, head: str = "", state: str = "", axioms: str = "", init: str = "", steps: str = "",
                prop: str = "x", lemmas: str = "", after: str = "") -> str:  # fmt: skip
    """A certificate about x, which holds at first; `zap` ends that unless `steps` says otherwise."""
    sizes = "this size" if kind == "grounded" else "every size"
    return f"""(set-info :tdpcheck-certificate 1)
(set-info :kind "{kind}")
(set-info :system "toy")
(set-info :property "p")
(set-info :sizes "{sizes}")
{head or f"(set-logic {'QF_BV' if kind == 'grounded' else 'UF'})"}
{state or "(declare-fun x () Bool)"}
{axioms}
{init or "(define-fun |init x| () Bool x)"}
{steps or "(define-fun |guard zap| () Bool true)" + chr(10) + "(define-fun |next zap x| () Bool false)"}
(define-fun |property p| () Bool {prop})
{lemmas or "(define-fun |lemma a| () Bool x)"}
{after}
"""


KEPT = "(define-fun |guard zap| () Bool true)\n(define-fun |next zap x| () Bool true)"


def lemma(body: str) -> str:
    return f"(define-fun |lemma a| () Bool {body})"


def sorted_state(more: str = "") -> str:
    return f"(declare-sort S 0)\n(declare-fun x () Bool)\n(declare-fun f (S) Bool)\n(declare-fun c () S)\n{more}"


FORGERIES: dict[str, dict[str, str]] = {
    "a subterm with a name": {
        "a quantifier": certificate(state=sorted_state(), lemmas="(define-fun $1 () Bool (forall ((s S)) (f s)))\n" + lemma("(and x $1)")),
        "one of another": certificate(lemmas="(define-fun $1 () Bool x)\n(define-fun $2 () Bool $1)\n" + lemma("$2")),
        "in the statement": certificate(axioms="(define-fun $1 () Bool x)", lemmas=lemma("$1")),
        "with a parameter": certificate("grounded", lemmas="(define-fun $1 ((y Bool)) Bool y)\n" + lemma("($1 x)")),
        "a free name": certificate(lemmas="(define-fun helper () Bool x)\n" + lemma("helper")),
        "instantiated": certificate("instantiated", lemmas="(define-fun $1 () Bool x)\n(define-fun |lemma p/1| () Bool $1)"),
    },
    "an odd symbol": {
        "two blanks": certificate(state="(declare-fun |x  y| () Bool)", init="(define-fun |init a| () Bool true)", prop="true"),
        "a blank in front": certificate(state="(declare-fun | x| () Bool)"),
        "a newline": certificate(state="(declare-fun |x\ny| () Bool)"),
        "bars without need": certificate(lemmas=lemma("|x|")),
        "an operator in bars": certificate(lemmas=lemma("(|and| x x)")),
        "a value in bars": certificate(lemmas=lemma("|true|")),
        "a number in bars": certificate(state="(declare-fun |7| () Bool)"),
        "no name": certificate(state="(declare-fun || () Bool)"),
        "a backslash": certificate(state="(declare-fun |x\\y| () Bool)"),
        "a comment in a symbol": certificate(state="(declare-fun |x;y| () Bool)"),
        "a string in a symbol": certificate(state='(declare-fun |x"y| () Bool)'),
        "not ASCII": certificate(state="(declare-fun |ẋ| () Bool)"),
        "a letter that looks alike": certificate(lemmas=lemma("х")),  # Cyrillic
        "a mark of the checker": certificate(state="(declare-fun x () Bool)\n(declare-fun |x'| () Bool)"),
        "a witness of the checker": certificate("instantiated", state="(declare-fun x () Bool)\n(declare-fun |some a:0| () Bool)"),
        "two words": certificate(state="(declare-fun x () Bool)\n(declare-fun |bit 0| () Bool)"),
        "two symbols without a blank": certificate(lemmas=lemma("(and x|y z|)")),
        "a per cent": certificate(state="(declare-fun x% () Bool)"),
    },
    "a variable that hides": {
        "the state": certificate(state=sorted_state(), lemmas=lemma("(forall ((x S)) (f x))")),
        "the state, in let": certificate(lemmas=lemma("(let ((x true)) x)")),
        "another variable": certificate(state=sorted_state(), lemmas=lemma("(forall ((s S)) (exists ((s S)) (f s)))")),
        "its neighbour": certificate(state=sorted_state(), lemmas=lemma("(forall ((s S) (s S)) (f s))")),
        "a let": certificate(lemmas=lemma("(let (($l1 true)) (let (($l1 x)) $l1))")),
        "an operator": certificate(lemmas=lemma("(let ((not x)) not)")),
        "a value": certificate(lemmas=lemma("(let ((true false)) (=> true x))")),
        "a sort": certificate(state=sorted_state(), lemmas=lemma("(forall ((S S)) (f S))")),
        "what comes later": certificate(
            state=sorted_state(), axioms="(define-fun |axiom 1| () Bool (forall ((g S)) (= g g)))\n(declare-fun g () S)"
        ),
        "a next value": certificate(
            state=sorted_state(), steps="(define-fun |guard zap| () Bool true)\n(define-fun |next zap f| ((c S)) Bool (f c))"
        ),
        "a parameter": certificate(
            state=sorted_state(),
            steps="(declare-fun |parameter zap t| () S)\n(define-fun |guard zap| () Bool (forall ((|parameter zap t| S)) x))",
        ),
        "two at once in let": certificate(lemmas=lemma("(let (($l1 true) ($l2 $l1)) $l2)")),
        "a let of its own": certificate(lemmas=lemma("(let (($l1 $l1)) $l1)")),
        "grounded": certificate("grounded", lemmas=lemma("(let (($l1 x)) $l1)")),
    },
    "an axiom about what changes": {
        "in a quantifier": certificate(
            state=sorted_state(),
            axioms="(define-fun |axiom 1| () Bool (forall ((s S)) (f s)))",
            steps="(define-fun |guard zap| () Bool true)\n(define-fun |next zap f| ((s S)) Bool false)",
        ),
        "in a let": certificate(axioms="(define-fun |axiom 1| () Bool (let (($l1 x)) $l1))"),
        "with a name": certificate(
            "instantiated",
            state=sorted_state(),
            axioms="(define-fun |some a| () Bool (exists ((s S)) (f s)))\n(define-fun |axiom 1| () Bool |some a|)",
            steps="(define-fun |guard zap| () Bool true)\n(define-fun |next zap f| ((s S)) Bool false)",
            lemmas="(define-fun |lemma p/1| () Bool x)",
        ),
        "grounded": certificate("grounded", axioms="(define-fun |axiom 1| () Bool x)"),
        "different constants that change": certificate(
            state="(declare-sort S 0)\n(declare-fun x () S)\n(declare-fun y () S)",
            axioms="(define-fun |axiom 1| () Bool (distinct x y))",
            init="(define-fun |init x| () Bool true)",
            steps="(define-fun |guard zap| () Bool true)\n(define-fun |next zap x| () S y)",
            prop="true",
            lemmas=lemma("true"),
        ),
    },
    "a symbol twice": {
        "a function": certificate(state="(declare-fun x () Bool)\n(declare-fun x () Bool)"),
        "overloaded": certificate(state=sorted_state("(declare-fun f (Bool) Bool)")),
        "a clause": certificate(lemmas=lemma("x") + "\n" + lemma("true")),
        "a guard": certificate(
            steps="(define-fun |guard zap| () Bool true)\n(define-fun |guard zap| () Bool false)\n(define-fun |next zap x| () Bool x)"
        ),
        "a next value": certificate(steps=KEPT + "\n(define-fun |next zap x| () Bool false)"),
        "a sort and a function": certificate(state=sorted_state("(declare-fun S () Bool)")),
        "a sort": certificate(state=sorted_state("(declare-sort S 0)")),
        "a subterm": certificate("grounded", lemmas="(define-fun $1 () Bool x)\n(define-fun $1 () Bool true)\n" + lemma("$1")),
        "a property": certificate(lemmas="(define-fun |property p| () Bool true)\n" + lemma("x")),
        "before it is there": certificate(init="(define-fun |init x| () Bool |lemma a|)"),
        "of itself": certificate("grounded", lemmas="(define-fun $1 () Bool (and x $1))\n" + lemma("$1")),
    },
    "a word of the theory": {
        "and": certificate(state="(declare-fun and (Bool Bool) Bool)"),
        "=": certificate(state="(declare-fun = (Bool Bool) Bool)"),
        "true": certificate(state="(declare-fun true () Bool)"),
        "Bool": certificate(state="(declare-sort Bool 0)"),
        "a vector": certificate(state="(declare-fun bv1 () Bool)"),
        "a binder": certificate(state="(declare-fun lambda () Bool)"),
        "a part that is none": certificate(state="(declare-fun |guard zap| () Bool)"),
        "a definition": certificate(lemmas="(define-fun not ((y Bool)) Bool y)\n" + lemma("(not x)")),
    },
    "a command": {
        word: certificate(after=word)
        for word in (
            "(assert false)",
            "(assert x)",
            "(check-sat)",
            "(exit)",
            "(push 1)",
            "(pop 1)",
            "(reset)",
            "(reset-assertions)",
            "(set-logic ALL)",
            "(set-logic UF)",
            "(set-option :produce-models true)",
            "(get-model)",
            '(echo "unsat")',
            "(define-fun-rec r () Bool (not r))",
            "(define-funs-rec ((r () Bool)) (true))",
            "(declare-datatypes ((T 0)) (((a) (b))))",
            "(declare-const y Bool)",
            "(define-const y Bool x)",
            "(define-sort T () Bool)",
            "(declare-sort T 1)",
            "(declare-sort T 0)",
            "(declare-fun y () Bool)",
            '(include "file")',
            "(check-sat-assuming (x))",
            "(simplify x)",
            "()",
            "x",
            "((assert false))",
            "(define-fun |axiom 1| () Bool false)",
            "(define-fun |init y| () Bool false)",
            "(define-fun |guard b| () Bool false)",
            "(define-fun |next zap x| () Bool x)",
            "(define-fun |property q| () Bool x)",
            '(set-info :property "q")',
            "(set-info :status unsat)",
            "(set-info :tdpcheck-certificate 1)",
            '(set-info :says "It is so.")',
        )
    },
    "a command before": {
        word: certificate(head=f"{word}\n(set-logic UF)")
        for word in (
            "(set-option :global-declarations true)",
            "(assert false)",
            "(declare-fun y () Bool)",
            "(push 1)",
            "(define-fun |lemma b| () Bool true)",
        )
    },
    "another order": {
        "a clause before the property": certificate(steps=KEPT + "\n" + lemma("x"), lemmas=lemma("x").replace("lemma a", "lemma b")),
        "init after an action": certificate(init="(define-fun |init y| () Bool true)", steps=KEPT + "\n(define-fun |init x| () Bool x)"),
        "a guard behind its next value": certificate(steps="(define-fun |next zap x| () Bool x)\n(define-fun |guard zap| () Bool true)"),
        "a parameter that is defined": certificate(steps="(define-fun |parameter zap t| () Bool true)\n" + KEPT),
        "an action in two places": certificate(
            steps="(define-fun |guard a| () Bool true)\n(define-fun |guard b| () Bool true)\n(define-fun |next a x| () Bool x)"
        ),
        "an action without a guard": certificate(state=sorted_state(), steps="(declare-fun |parameter zap t| () S)"),
        "state behind the initial state": certificate(init="(define-fun |init x| () Bool x)\n(declare-fun y () Bool)"),
        "no logic": certificate(head='(set-info :scenario "s")'),
        "the other logic": certificate(head="(set-logic QF_BV)"),
    },
    "an annotation": {
        "a name": certificate(lemmas=lemma("(! x :named y)")),
        "a pattern": certificate(state=sorted_state(), lemmas=lemma("(forall ((s S)) (! (f s) :pattern ((f s))))")),
        "a sort": certificate(lemmas=lemma("(as x Bool)")),
        "a weight": certificate(state=sorted_state(), lemmas=lemma("(forall ((s S)) (! (f s) :weight 0))")),
        "a keyword": certificate(lemmas=lemma("(and x :x)")),
    },
    "a literal": {
        "binary": certificate("grounded", lemmas=lemma("(= #b0 #b0)")),
        "hexadecimal": certificate("grounded", lemmas=lemma("(= #x0 #x0)")),
        "a numeral": certificate(lemmas=lemma("(= 1 1)")),
        "a decimal": certificate(lemmas=lemma("(= 1.0 1.0)")),
        "a string": certificate(lemmas=lemma('(= "a" "a")')),
        "too large": certificate("grounded", lemmas=lemma("(= (_ bv2 1) (_ bv0 1))")),
        "no bits": certificate("grounded", lemmas=lemma("(= (_ bv0 0) (_ bv0 0))")),
        "zeros in front": certificate("grounded", lemmas=lemma("(= (_ bv01 4) (_ bv1 4))")),
        "a vector for every size": certificate(lemmas=lemma("(= (_ bv1 4) (_ bv1 4))")),
        "a character": certificate(lemmas=lemma("(= (_ char #x61) (_ char #x61))")),
    },
    "an operator": {
        name: certificate(kind, state=sorted_state() if kind != "grounded" else "", lemmas=lemma(body))
        for name, kind, body in (
            ("with too few", "parametric", "(and x)"),
            ("with none", "parametric", "(and)"),
            ("alone", "parametric", "and"),
            ("a chain", "parametric", "(= x x x)"),
            ("an implication of three", "parametric", "(=> x x x)"),
            ("not of two", "parametric", "(not x x)"),
            ("of two sorts", "parametric", "(= x c)"),
            ("of one", "parametric", "(distinct x)"),
            ("unknown", "parametric", "(nand x x)"),
            ("ite of two sorts", "parametric", "(ite x x c)"),
            ("a function of none", "parametric", "(x)"),
            ("a term", "parametric", "((f c))"),
            ("a function alone", "parametric", "f"),
            ("a wrong argument", "parametric", "(f x)"),
            ("two arguments", "parametric", "(f c c)"),
            ("lambda", "parametric", "(lambda ((y Bool)) y)"),
            ("match", "parametric", "(match x ((y y)))"),
            ("choice", "parametric", "(choice ((y Bool)) y)"),
            ("no variables", "parametric", "(forall () x)"),
            ("a wrong body", "parametric", "(forall ((s S)) s)"),
            ("no sort", "parametric", "(forall ((s T)) x)"),
            ("an unnamed sort", "parametric", "(forall (s) x)"),
            ("widths", "grounded", "(= (_ bv1 2) (_ bv1 3))"),
            ("a truth value", "grounded", "(bvult x x)"),
            ("bits that are not there", "grounded", "(= ((_ extract 4 0) (_ bv1 2)) (_ bv1 5))"),
            ("bits backwards", "grounded", "(= ((_ extract 0 1) (_ bv1 2)) (_ bv1 2))"),
            ("an index", "grounded", "(= ((_ rotate_left 1) (_ bv1 2)) (_ bv2 2))"),
            ("nothing", "parametric", "()"),
            ("a sort", "parametric", "S"),
        )
    },
    "a text": {
        "a tab": certificate().replace("Bool x", "Bool\tx", 1),
        "a carriage return in a comment": certificate(after="; fine \r(assert false)"),
        "a form feed": certificate().replace("\n", "\n\f", 1),
        "a null": certificate() + "\0",
        "a line separator": certificate(after="; \u2028(assert false)"),
        "a comment behind a symbol": certificate(lemmas="(define-fun |lemma a| () Bool x;)\n)"),
        "a comment behind a parenthesis": certificate(lemmas=lemma("x") + ";x"),
        "a string that goes on": certificate(head='(set-info :scenario "a\nb")\n(set-logic UF)'),
        "an escape": certificate(head='(set-info :scenario "\\u{1b}[2J")\n(set-logic UF)'),
        "a text that cannot be shown": certificate(lemmas='(set-info :says "\\u{7}")\n' + lemma("x")),
        "much nesting": certificate(lemmas=lemma("(not " * 300 + "x" + ")" * 300)),
        "very much nesting": certificate(lemmas=lemma("(" * 100_000 + ")" * 100_000)),
        "nothing": " \n",
        "half": certificate()[:200],
        "a parenthesis too many": certificate() + ")",
    },
    "a head that lies": {
        "the property": certificate().replace(':property "p"', ':property "no_stale_io_mapping"'),
        "two properties": certificate().replace(':property "p"', ':property "p, q"'),
        "every size": certificate("grounded").replace("this size", "every size"),
        "one size": certificate().replace("every size", "Page=1"),
        "no size": certificate().replace('(set-info :sizes "every size")\n', ""),
        "the kind": certificate().replace('"parametric"', '"grounded"'),
        "no kind": certificate().replace('(set-info :kind "parametric")\n', ""),
        "two kinds": certificate().replace("(set-info :system", '(set-info :kind "grounded")\n(set-info :system'),
        "a kind that is none": certificate().replace('"parametric"', '"every"'),
        "the schema": certificate().replace("certificate 1", "certificate 2"),
        "no state": certificate(
            state="; none",
            init="(define-fun |init a| () Bool true)",
            steps="(define-fun |guard a| () Bool true)",
            prop="true",
            lemmas=lemma("true"),
        ),
        "no action": certificate(steps="; none", lemmas=lemma("x")),
    },
    "a proof": {
        name: certificate("instantiated", steps=KEPT, lemmas="(define-fun |lemma p/1| () Bool x)", after=after)
        for name, after in (
            ("a step that is not there", "(set-info :uses (other (|lemma p/1|)))"),
            ("twice", "(set-info :uses (zap))\n(set-info :uses (zap))"),
            ("no list", "(set-info :uses zap)"),
            ("no step", "(set-info :uses ())"),
            ("a list of lists", "(set-info :uses (zap ((|lemma p/1|))))"),
            ("an empty instance", "(set-info :uses (zap ()))"),
            ("of a number", "(set-info :uses (zap 1))"),
            ("a string", '(set-info :uses (zap ("a")))'),
            ("a start of what is not there", "(set-info :start-value (y true))"),
            ("a size of what is not there", "(set-info :start-size (S 1))"),
            ("a start twice", "(set-info :start-value (x true))\n(set-info :start-value (x false))"),
        )
    },
}
CASES = [pytest.param(text, id=f"{kind}: {name[:50]}") for kind, members in FORGERIES.items() for name, text in members.items()]


def test_what_the_forgeries_are_made_of_is_a_certificate() -> None:
    """Else they might be refused for something else."""
    assert check_certificate(certificate(steps=KEPT), "z3").accepted
    assert check_certificate(certificate("grounded", steps=KEPT), "z3").accepted
    assert "refused" == check_certificate(certificate(), "z3").verdict
    assert min(map(len, FORGERIES.values())) >= 3


@pytest.mark.parametrize("file", sorted(FORGED.glob("*.smt2")), ids=lambda file: file.stem)
def test_what_was_handed_to_us_is_refused(file: Path) -> None:
    """Each was accepted once, or met with an internal error."""
    with pytest.raises(InputError):
        recheck(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", CASES)
def test_a_forgery_is_refused(text: str) -> None:
    """By the reader, with one line that says why."""
    with pytest.raises(InputError) as refused:
        parse(text)
    assert 1 == len(str(refused.value).splitlines())
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("instances", "complaint"),
    [
        ("(|lemma q| c)", "no clause that is known there"),
        ("(|init 1|)", "no clause that is known there"),
        ("(|lemma p/1| x)", "expected S"),
        ("(|lemma p/1| c c)", "has 2 terms, and the clause has 1 variables"),
        ("(|lemma p/1|)", "has 0 terms"),
        ("(|lemma p/1| |parameter other t|)", "neither declared"),
        ("(|lemma p/1| (ite x c s) )", ""),
        ("(|lemma p/1| (let ((c s)) c))", "hides c"),
        ("(|lemma p/1| (let (($l1 c)) $l1))", ""),
        ("(|lemma p/1| ((assert false)))", "applies"),
    ],
)
def test_the_terms_of_an_instance_are_terms(instances: str, complaint: str) -> None:
    """Of the sorts that the clause has variables of; what is no term is told before a solver sees it."""
    text = certificate(
        "instantiated",
        state=sorted_state(),
        steps="(define-fun |guard zap| () Bool true)\n(define-fun |next zap f| ((s2 S)) Bool (f s2))",
        lemmas="(define-fun |lemma p/1| () Bool (forall ((s S)) (or x (f s))))",
        after=f"(set-info :uses (zap {instances}))",
    )
    found = parse(text)
    if not complaint:
        Instantiated(found).step(found.steps["zap"])
        return
    with pytest.raises(InputError, match=complaint):
        Instantiated(found).step(found.steps["zap"])


def test_a_term_that_grows_is_refused() -> None:
    """Sixty times twice as much: written out, it would have no end."""
    depth = 40
    lets = "".join(f"(let (($l{n} (and {'x' if n == 0 else f'$l{n - 1}'} {'x' if n == 0 else f'$l{n - 1}'}))) " for n in range(depth))
    text = certificate("instantiated", steps=KEPT, lemmas=f"(define-fun |lemma p/1| () Bool {lets}$l{depth - 1}{')' * depth})")

    with pytest.raises(InputError, match="too long where every let is written out"):
        check_certificate(text, "z3")
    assert check_certificate(text.replace('"instantiated"', '"parametric"').replace("|lemma p/1|", "|lemma a|"), "z3").accepted


def chain(kind: str, length: int) -> str:
    """Names that each speak of the one before and of one more cell."""
    cells = "\n".join(f"(declare-fun c{n} () Bool)" for n in range(length))
    names = "\n".join(f"(define-fun ${n} () Bool {f'(and ${n - 1} c{n})' if n else 'c0'})" for n in range(length))
    return certificate(kind, state=f"(declare-fun x () Bool)\n{cells}", steps=KEPT, lemmas=f"{names}\n{lemma(f'(or x ${length - 1})')}")


def test_a_chain_of_names_comes_to_an_end() -> None:
    """Short ones are read; one that would take hours is refused."""
    assert parse(chain("grounded", 200)).lemmas
    with pytest.raises(InputError, match="speak of more than"):
        parse(chain("grounded", 2_000))


def test_an_initial_state_that_nobody_can_go_through_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million elements are no state that is named to be evaluated."""
    monkeypatch.setattr("tdpcheck.recheck.initial_state.MOST_STEPS", 10_000)
    text = certificate(
        "instantiated",
        state="(declare-sort S 0)\n(declare-fun x () Bool)",
        init="(define-fun |init 1| () Bool (forall ((a S) (b S) (c S)) (or (= a b) (= b c) x (not x))))",
        steps=KEPT,
        lemmas="(define-fun |lemma p/1| () Bool x)",
        after="(set-info :start-size (S 999999))\n(set-info :start-value (x true))",
    )

    assert "take" in no_start(parse(text))
    with pytest.raises(InputError, match="name a smaller one"):
        list(scripts(text))


@pytest.mark.parametrize("word", "select store Int Real Array abs div mod distinct_ String Seq bvsmulo fp forall_ k!0 pi".split())
@pytest.mark.parametrize("kept", [True, False])
def test_a_word_that_a_solver_knows_is_a_name_like_any_other(word: str, kept: bool) -> None:
    """What a certificate calls `select` is no array's, for either solver."""
    steps = f"(define-fun |guard zap| () Bool true)\n(define-fun |next zap {word}| () Bool {'true' if kept else 'false'})"
    body = f"(let (($l1 {word})) (and $l1 {word}))"
    text = certificate(
        state=f"(declare-fun {word} () Bool)", init=f"(define-fun |init {word}| () Bool {word})", steps=steps, prop=word, lemmas=lemma(body)
    )

    assert ["accepted" if kept else "refused"] * 2 == [check_certificate(text, solver).verdict for solver in ("z3", "cvc5")]


@pytest.mark.parametrize("word", ["|+|", "|<=|", "|str.++|", "|-|", "|x)|", "|(_|", "|bv-add|", "|[0]|"])
def test_so_is_a_symbol_in_bars(word: str) -> None:
    """The same for symbols that would be an operator, or no symbol, without them."""
    name = word.strip("|")
    steps = f"(define-fun |guard zap| () Bool true)\n(define-fun |next zap {name}| () Bool false)"
    text = certificate(
        state=f"(declare-fun {word} () Bool)", init=f"(define-fun |init x| () Bool {word})", steps=steps, prop=word, lemmas=lemma(word)
    )

    assert ["refused"] * 2 == [check_certificate(text, solver).verdict for solver in ("z3", "cvc5")]


def test_what_is_written_is_what_was_read() -> None:
    """Whatever its symbols look like."""
    text = "(a (|b (c)| (d) () (e f)) |)| |(| (g))"

    assert [write(x) for x in read(text)] == [text]
    assert read(spelled(text)[:0]) == []
    assert "(a% (|b (c)%| (d%) () (e% f%)) |)%| |(%| (g%))" == spelled(text)


def test_the_page_says_how_large_the_trusted_base_is() -> None:
    """To the hundred, so that it is noticed when it grows."""
    room, page = Path(recheck_room.__file__).parent, Path(recheck_room.__file__).parents[1] / "docs" / "certificates.md"
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in room.glob("*.py"))
    said = re.search(r"`recheck/`, about ([0-9,]+) lines of Python", page.read_text(encoding="utf-8"))

    assert said is not None
    assert abs(int(said.group(1).replace(",", "")) - lines) <= 100, lines
    assert all(f"`{file.name}`" in page.read_text(encoding="utf-8") for file in room.glob("[a-z]*.py"))
