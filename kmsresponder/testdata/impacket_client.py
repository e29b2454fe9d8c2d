#!/usr/bin/python3
"""An RPC client that is not ours: Debian's impacket, under the tests' orders.

It reads commands, one a line, and answers each with one line, which begins with
"refused" where the server would not:

    connect PORT           to 127.0.0.1                 connected
    login                  NTLM with the next bind      ready
    bind UUID SYNTAX [N]   after N invented interfaces  bound
    alter UUID SYNTAX      alter_context                bound
    fragment OCTETS        of a stub in a PDU, 0: all   ready
    call OPNUM HEX         a request with that stub     stub HEX
    activate HEX           a request with that message  0xHRESULT HEX

SYNTAX is ndr32 or ndr64. "call" leaves the stubs to the test; for "activate",
impacket's NDR writes the one and reads the other.
"""

import signal
import sys

from impacket.dcerpc.v5 import rpcrt, transport
from impacket.dcerpc.v5.dtypes import ULONG
from impacket.dcerpc.v5.ndr import NDRCALL, NDRPOINTER, NDRUniConformantArray
from impacket.uuid import uuidtup_to_bin

SYNTAX = {
    "ndr32": ("8a885d04-1ceb-11c9-9fe8-08002b104860", "2.0"),
    "ndr64": ("71710533-BEBA-4937-8319-B5DBEF9CCC36", "1.0"),
}


class OCTETS(NDRUniConformantArray):
    item = "c"


class OCTETS_POINTER(NDRPOINTER):
    referent = (("Data", OCTETS),)


class Activate(NDRCALL):
    """The interface's one operation, as far as NDR goes: octets in, octets and
    an HRESULT out."""

    opnum = 0
    structure = (("RequestSize", ULONG), ("Request", OCTETS))


class ActivateResponse(NDRCALL):
    structure = (
        ("ResponseSize", ULONG),
        ("Response", OCTETS_POINTER),
        ("ErrorCode", ULONG),
    )


class Client:
    def connect(self, port):
        binding = transport.DCERPCTransportFactory("ncacn_ip_tcp:127.0.0.1[%s]" % port)
        self.dce = binding.get_dce_rpc()
        self.dce.connect()
        return "connected"

    def login(self):
        self.dce.set_credentials("nobody", "nothing")
        return "ready"

    def bind(self, uuid, syntax, bogus="0"):
        self.dce.bind(
            uuidtup_to_bin((uuid, "1.0")),
            bogus_binds=int(bogus),
            transfer_syntax=SYNTAX[syntax],
        )
        return "bound"

    def alter(self, uuid, syntax):
        # alter_ctx proposes the syntax that it believes to be in use.
        used, self.dce.transfer_syntax = self.dce.transfer_syntax, uuidtup_to_bin(SYNTAX[syntax])
        try:
            altered = self.dce.alter_ctx(uuidtup_to_bin((uuid, "1.0")))
        finally:
            self.dce.transfer_syntax = used
        self.dce = altered
        return "bound"

    def fragment(self, octets):
        self.dce.set_max_fragment_size(int(octets))
        return "ready"

    def call(self, opnum, stub=""):
        self.dce.call(int(opnum), bytes.fromhex(stub))
        return "stub " + self.dce.recv().hex()

    def activate(self, message):
        octets = bytes.fromhex(message)
        request = Activate()
        request["RequestSize"] = len(octets)
        request["Request"] = [octets[i : i + 1] for i in range(len(octets))]
        response = self.dce.request(request, checkError=False)
        answer = b""
        if response.fields["Response"]["ReferentID"] != 0:
            answer = b"".join(response["Response"])
        if len(answer) != response["ResponseSize"]:
            raise ValueError("%d octets, said to be %d" % (len(answer), response["ResponseSize"]))
        return "0x%08X %s" % (response["ErrorCode"], answer.hex())


def main():
    signal.alarm(60)
    client = Client()
    for line in sys.stdin:
        name, *args = line.split()
        try:
            answer = getattr(client, name)(*args)
        except rpcrt.DCERPCException as refusal:
            answer = "refused: %s" % refusal
        print(answer.rstrip(), flush=True)


if __name__ == "__main__":
    main()
