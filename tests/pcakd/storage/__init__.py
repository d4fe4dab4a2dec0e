import pytest

pytest.register_assert_rewrite("tests.pcakd.storage.contract")
