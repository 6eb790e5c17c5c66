"""The compiled kernel: built where a C compiler is found, left out where none is."""

import sys

from setuptools import Extension, setup

FOLDER = "src/linkage/pseudonymise/"

setup(
    ext_modules=[
        Extension(
            "linkage.pseudonymise._kernel",
            [FOLDER + "_kernel.c"],
            depends=[FOLDER + name for name in (
                "_kernel_tokens.h", "_kernel_columns.h", "_kernel_numbers.h", "_kernel_sha256.h", "_kernel_selftest.h",
            )],
            extra_compile_args=["/O2"] if sys.platform == "win32" else ["-O3", "-fvisibility=hidden"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)  # fmt: skip
