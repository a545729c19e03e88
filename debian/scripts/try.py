"""Import every module of sdcpd, both twistd plugins, and use each library that has machine code, from the built tree.

One decision: what was taken out (``prune.sh``) or stripped is missed here, in the build, and not on somebody's machine.
"""

from __future__ import annotations

import sqlite3
import sys
from importlib import import_module
from importlib.metadata import version
from pkgutil import walk_packages


def main(packages: str) -> None:
    """Try the packages in this directory."""
    sys.path.append(packages)
    for module in walk_packages(import_module("sdcpd").__path__, "sdcpd."):
        if not module.name.endswith("migrations.env"):  # only Alembic can run this one, in a migration
            import_module(module.name)
    for name in (
        "alembic.command",
        "cryptography.x509",
        "klein",
        "paho.mqtt.client",
        "psycopg.pq.abc",
        "zeroconf.asyncio",
    ):
        import_module(name)
    plugin, service = import_module("twisted.plugin"), import_module("twisted.application.service")
    makers = {maker.tapname: maker for maker in plugin.getPlugins(service.IServiceMaker)}
    for name in ("sdcpd", "sdcp-printer"):
        makers[name].options()
    numpy, ssl, sql = import_module("numpy"), import_module("OpenSSL.SSL"), import_module("sqlalchemy")
    matrix = numpy.arange(16.0).reshape(4, 4) + numpy.eye(4)
    assert numpy.allclose(numpy.linalg.inv(matrix) @ matrix, numpy.eye(4))
    ssl.Context(ssl.TLS_METHOD)
    with sql.create_engine("sqlite://").connect() as connection:
        assert connection.execute(sql.text("select 1")).scalar() == 1
    print(f"sdcpd {version('sdcpd')}: complete; SQLite {sqlite3.sqlite_version}, NumPy {numpy.__version__}")


if __name__ == "__main__":
    main(sys.argv[1])
