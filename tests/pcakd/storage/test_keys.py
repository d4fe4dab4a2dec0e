from hypothesis import given
from hypothesis import strategies as st

from pcakd.storage.keys import key_of, text


@given(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\\")
        | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
    )
)
def test_any_file_name_survives_parquet(key):
    assert key_of(text(key)) == key
    text(key).encode()
