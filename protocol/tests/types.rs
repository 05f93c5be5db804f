//! The types carry the guarantee: what must not leave a node does not compile.

#[test]
fn a_record_or_an_unnoised_count_that_could_reach_the_wire_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
