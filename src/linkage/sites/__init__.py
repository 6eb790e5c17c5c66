"""Sites that keep their keys, and the hub that links what they hand over.

    sending     at the site: the site half as in any run, and a packet of what counts now
    register    at the hub: who may send what
    receiving   at the hub, without any key: take a packet, or say why not
    translating the key holder's step: tokens of the sites become tokens of the ICS; searching: and no number is among them
    linking     at the hub, without any key: one bundle of all sites, and the hub half as in any run

`federate` has what crosses between them. Nothing here is needed where one machine does everything.
"""
