"""Packaging of sdcpd: the package, its two twistd plugins and the shipped configuration."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="sdcpd",
    version="0.1.0",
    description="The open hub for networked resin 3D printers that speak SDCP",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["sdcpd", "sdcpd.*"]), "twisted.plugins"],
    package_data={"sdcpd": ["py.typed", "web/page/*"]},
    data_files=[("etc/sdcpd", ["etc/sdcpd/sdcpd.toml"])],
    install_requires=[
        "twisted[tls] >= 26.4",
        "klein >= 24.8",
        "paho-mqtt >= 2.1, < 3",
        "service-identity >= 24.2",
        "msgspec >= 0.20",
        "ifaddr >= 0.2",
        "sqlalchemy >= 2.1",
        "alembic >= 1.17",
        "multipart >= 1.3",
        "numpy >= 2.2",
        "prometheus-client >= 0.23",
        "cryptography >= 45",
        "zeroconf >= 0.140",
    ],
    extras_require={
        "postgresql": ["psycopg[binary] >= 3.2"],
        "dev": [
            "coverage",
            "hypothesis",
            "import-linter",
            "mypy",
            "mypy-zope",
            "octorest",
            "openapi-spec-validator",
            "playwright",
            "psycopg[binary]",
            "pytest",
            "pytest-xdist",
            "requests",
            "ruff",
            "setuptools",
            "treq",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": [
            "sdcp-info = sdcpd.info:main",
            "sdcp-key = sdcpd.keytool:main",
            "sdcp-printer-ctl = sdcpd.simulator.control:main",
        ]
    },
    zip_safe=False,
)
