"""What outlasts the process: printers, jobs, plates, prints, wear and keys, in one database."""

from sdcpd.journal.ledger import Journal
from sdcpd.journal.prints import Outcomes, PrintPage, PrintQuery, Totals
from sdcpd.journal.tables import KEPT, Record

__all__ = ["KEPT", "Journal", "Outcomes", "PrintPage", "PrintQuery", "Record", "Totals"]
