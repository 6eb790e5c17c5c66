"""What crosses between organisations: a site's bundle, sealed and signed, and what its receiver checks."""

from linkage.federate.packet import Evidence, Packet, pack, read_packet
from linkage.federate.receive import Accepts, Inbox, Site

__all__ = ["Accepts", "Evidence", "Inbox", "Packet", "Site", "pack", "read_packet"]
