package explain

// faults is the statuses of DCE/RPC faults that concern one anonymous interface.
var faults = []Entry{
	fault(0x1C010014, "nca_server_too_busy", "Server too busy", "0x800706BB",
		"The responder of this project answers so when none of its hosts can serve the client, so that the client goes on to its "+
			"next record.",
		Cause{"behind the responder no KMS host is alive, or a limit of it is reached",
			[]string{nextHosts, nextProbe}}), fault(0x1C010002, "nca_op_rng_error", "No such operation", "0x800706D1",
		"The KMS interface has one operation, number 0; something asked for another.",
		Cause{"a scanner or a monitor, and no KMS client",
			[]string{nextHosts}}), fault(0x1C010003, "nca_unk_if", "Unknown interface", "0x800706B5",
		"An RPC service listens there that is not KMS.",
		Cause{"the record has the wrong port or machine, or the KMS host service is not running on it",
			[]string{nextProbe, nextNslookup}}),
	fault(0x1C01000B, "nca_proto_error", "Protocol error", "0x800706C0",
		"A PDU came that has no place there.",
		Cause{"a firewall or proxy that rewrites RPC, or a client that speaks it badly",
			[]string{nextProbe}}), fault(0x000006F7, "", "The stub received bad data", "0x800706F7",
		"The octets of the call were not as the interface has them: sizes that contradict each other, or a cut message.",
		Cause{"something between client and host changes what they say",
			[]string{nextTest, nextProbe}}), fault(0x00000005, "", "Access is denied", "0x80070005",
		"The host refuses anonymous calls, which all KMS calls are, or a responder does not serve this client's network.",
		Cause{"a policy on the host (RestrictRemoteClients) demands authenticated RPC, or \"allow\" in the responder leaves this " +
			"network out",
			[]string{"Get-ItemProperty 'HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Rpc'", nextHosts}}),
}

// fault is a status, its name if the HRESULT that a client makes of it does not have the same, and that HRESULT.
func fault(value uint32, name, title, hresult, meaning string, causes ...Cause) Entry {
	causes = append(causes, Cause{"a Windows client shows it as " + hresult, []string{"coredns kms explain " + hresult}})
	e := Entry{value: value, Title: title, Meaning: meaning, Causes: causes, See: []string{seeC706, seeRPCE}}
	if name != "" {
		e.Names = []string{name}
	}
	return e
}

// ports is the one that people look up.
var ports = []Entry{{
	value: 1688,
	Title: "TCP port of KMS",
	Meaning: "Where KMS hosts listen, unless slmgr /sprt moved them. The official name of the port is nsjtp-data, so that is what " +
		"scanners and firewalls print. There is no endpoint mapper: port 135 is not needed.",
	Causes: []Cause{
		{"is it open?",
			[]string{nextTest, nextProbe}},
		{"the rule in the host's firewall exists and is not enabled by itself", []string{nextFirewall}},
	},
	See: []string{seeGeneral, seeSlmgr},
}}
