import csv

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcakd.bulk.manifest import read_manifest_table
from pcakd.errors import NotFoundError, UsageError
from pcakd.storage import open_storage

STYLES = ("evening", "rain")


def manifest(tmp_path, text: str | bytes, name: str = "m.csv"):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return read_manifest_table(str(tmp_path / name), STYLES)


def test_rows_come_in_the_order_of_keys_whatever_their_order_in_the_file(tmp_path):
    found = manifest(tmp_path, "key,style,strength\nb.jpg,,\na.jpg,rain,0.5\n\na.jpg,evening,\n写.jpg,,1\n")
    assert [(row.key, row.style, row.strength, row.row) for row in found.rows()] == [
        ("a.jpg", "evening", None, 3),
        ("a.jpg", "rain", 0.5, 2),
        ("b.jpg", "", None, 1),
        ("写.jpg", "", 1.0, 4),
    ]


def test_csv_and_parquet_say_the_same(tmp_path):
    table = pa.table(
        {
            "key": ["a.jpg", "b.jpg"],
            "style": [None, "rain"],
            "transform": ["ot", None],
            "strength": [0.25, None],
            "smoothing": [None, "none"],
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    text = "\ufeffkey,style,transform,strength,smoothing\r\na.jpg,,ot,0.25,\r\nb.jpg,rain,,,none\r\n"
    first = read_manifest_table(str(tmp_path / "m.parquet"), STYLES)
    assert list(first.rows()) == list(manifest(tmp_path, text).rows())


def test_a_manifest_in_a_bucket_is_read(s3_server):
    bucket = s3_server.new_bucket()
    open_storage(f"s3://{bucket}/lists").write("m.csv", b'key\n"with, comma.jpg"\n')
    found = read_manifest_table(f"s3://{bucket}/lists/m.csv", STYLES)
    assert [row.key for row in found.rows()] == ["with, comma.jpg"]
    with pytest.raises(NotFoundError, match="no such manifest"):
        read_manifest_table(f"s3://{bucket}/lists/other.csv", STYLES)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column key"),
        ("key\n", "holds no objects"),
        ("name\na.jpg\n", "has a column 'name'; columns are key, style"),
        ("style\nrain\n", "has no column key"),
        ("key,key\na,b\n", "has a column twice"),
        ("key,style\na.jpg\n", "row 1 has 1 values for 2 columns"),
        ("key\na.jpg\nb.jpg,x\n", "row 2 has 2 values for 1 columns"),
        ("key,style\na.jpg,\n,rain\n", "row 2: key is empty"),
        ("key,style\na.jpg,fog\n", "row 1: style is 'fog': use one of evening, rain"),
        ("key,transform\na.jpg,x\n", "row 1: transform is 'x': use one of zca, ot, adain"),
        ("key,smoothing\na.jpg,x\n", "row 1: smoothing is 'x'"),
        ("key,strength\na.jpg,2\n", "row 1: strength is '2': give 0 to 1"),
        ("key,strength\na.jpg,nan\n", "row 1: strength is 'nan'"),
        ("key,strength\na.jpg,much\n", "row 1: strength is 'much'"),
        ("key\na.jpg\nb.jpg\na.jpg\n", "row 3: key 'a.jpg' is in row 1 already"),
        ("key,style\na.jpg,rain\na.jpg,\n", "row 2: key 'a.jpg' is in row 1 already"),
        ('key\n"a.jpg', "is not a CSV file"),
        (b"key\n\xff\xfe\n", "is not a CSV file in UTF-8"),
    ],
)
def test_garbage_is_one_line_that_names_the_row(tmp_path, text, says):
    with pytest.raises(UsageError) as caught:
        manifest(tmp_path, text)
    assert says in str(caught.value)
    assert str(tmp_path / "m.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), st.text(max_size=100).map(lambda t: f"key,style\n{t}".encode("utf-8", "replace"))
    )
)
def test_any_bytes_are_a_manifest_or_one_line(tmp_path, data):
    for name in ("m.csv", "m.parquet"):
        said = ""
        try:
            assert len(manifest(tmp_path, data, name)) > 0
        except UsageError as error:
            said = str(error)
        assert said.isprintable()


def test_parquet_of_other_types_is_refused(tmp_path):
    pq.write_table(pa.table({"key": [1, 2]}), tmp_path / "m.parquet")
    with pytest.raises(UsageError, match="row 1: key is 1: give a text"):
        read_manifest_table(str(tmp_path / "m.parquet"), STYLES)
    with pytest.raises(UsageError, match=r"a manifest is a \.csv, \.tsv or \.parquet file"):
        read_manifest_table(str(tmp_path / "m.txt"), STYLES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("key;style;strength\na b.jpg;rain;0,5\n", "m.csv"),
        ("key\tstyle\tstrength\na b.jpg\train\t0.5\n", "m.tsv"),
        ("key,style,strength\r\na b.jpg,rain,0.5\r\n", "m.csv"),
        ("\ufeffkey,style,strength\na b.jpg,rain,0.5\n", "m.csv"),
        ("key,style,strength\na b.jpg,rain,0.5\n".encode("utf-16"), "m.csv"),
        ("key, style, strength\na b.jpg, rain, 0.5\n", "m.csv"),
        ("key,style,strength,\na b.jpg,rain,0.5,\n,,,\n", "m.csv"),
        (",key,style,strength\n0,a b.jpg,rain,0.5\n", "m.csv"),
        ("Unnamed: 0,key,style,strength\n0,a b.jpg,rain,0.5\n", "m.csv"),
    ],
)
def test_a_table_as_spreadsheets_and_pandas_write_it_is_understood(tmp_path, text, name):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(data)
    [row] = read_manifest_table(str(tmp_path / name), STYLES).rows()
    assert row[:4] == ("a b.jpg", "rain", None, 0.5)


def test_a_table_as_pandas_writes_it_to_parquet_is_understood(tmp_path):
    frame = pandas.DataFrame(
        {"key": ["b.jpg", "a.jpg", "c.jpg"], "style": ["rain", None, float("nan")], "strength": [0.5, float("nan"), 1]}
    )
    for table in (frame, frame.sort_values("key"), frame[frame.key != "b.jpg"], frame.set_index("key")):
        table.to_parquet(tmp_path / "m.parquet")
        rows = {row.key: row for row in read_manifest_table(str(tmp_path / "m.parquet"), STYLES).rows()}
        assert (rows["a.jpg"].style, rows["a.jpg"].strength) == ("", None)
        assert (rows["c.jpg"].style, rows["c.jpg"].strength) == ("", 1.0)


def test_a_large_manifest_is_read_in_chunks(tmp_path):
    with (tmp_path / "m.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key"])
        writer.writerows([f"{n:06d}.jpg"] for n in reversed(range(45_000)))
    found = read_manifest_table(str(tmp_path / "m.csv"), STYLES)
    assert len(found) == 45_000
    assert next(iter(found.rows())).key == "000000.jpg"
