package explain

// hresults is what slmgr shows and events carry, but for the codes of DNS.
var hresults = []Entry{
	{
		value: 0x00000000, Names: []string{"S_OK"},
		Title: "The operation completed successfully",
		Meaning: "The host answered the request. That is not yet an activation: the client counts on the number of clients in the " +
			"answer, and stays as it is while that is below its threshold.",
		Causes: []Cause{
			{"the client is activated",
				[]string{nextState}},
			{"the answer was good and the count in it too low: event 12289 then has the flag 0x04000000",
				[]string{nextClientLog, "coredns kms explain 0xC004F038"}},
		},
		See: []string{seeEvents},
	},
	{
		value: 0xC004F074, Names: []string{"SL_E_VL_BINDING_SERVICE_UNAVAILABLE"},
		Title: "No Key Management Service (KMS) could be contacted",
		Meaning: "The summary of all tries: every host that the client knew failed. Each one left an event 12288 in the client's " +
			"Application log, and the code in that one says what happened.",
		Causes: []Cause{
			{"look first at what each host failed with",
				[]string{nextClientLog, nextExplainLine}},
			{"TCP port 1688 is blocked between client and host, or on the host: its firewall rule exists and is not enabled by itself",
				[]string{nextTest, nextProbe, nextFirewall}},
			{"the SRV record points at a host that is gone: records of KMS hosts are never withdrawn",
				[]string{nextDiscover, nextNslookup, nextForget}},
			{"clocks of client and host are more than four hours apart (0xC004F06C in event 12288)",
				[]string{nextClock, nextResync}},
			{"the service on the host is stopped", []string{nextService, nextRestartSPP}},
			{"the host is too old for this client: it needs an update or another KMS host key",
				[]string{nextHostLog, nextState}},
		},
		See: []string{seeErrors, seeF074},
	},
	{
		value: 0xC004F042, Names: []string{"SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH"},
		Title: "The specified Key Management Service (KMS) cannot be used",
		Meaning: "The host was reached and has no key for this product or edition. Another host may have one: the responder of this " +
			"project goes on to the next host by itself.",
		Causes: []Cause{
			{"hosts for Windows and hosts for Office stand under one SRV name, and the client found the wrong one",
				[]string{nextNslookup, nextSkms, nextActivate}},
			{"the host's key is older than the product: a newer KMS host key is needed on it",
				[]string{nextState, "slmgr /ipk XXXXX-XXXXX-XXXXX-XXXXX-XXXXX"}},
			{"the host's system lacks the update that knows newer products", []string{"Get-HotFix"}},
		},
		See: []string{seeErrors, seeF042, seePlanning},
	},
	{
		value: 0xC004F038, Names: []string{"SL_E_VL_NOT_ENOUGH_COUNT"},
		Title: "The count reported by your Key Management Service (KMS) is insufficient",
		Meaning: "The client's own verdict: the host answered, and has seen fewer clients than the product needs, 25 for Windows " +
			"clients and 5 for Windows Server and Office. It comes again every two hours; nothing on the network is broken.",
		Causes: []Cause{
			{"there are not yet enough machines: distinct clients of the last 30 days count, virtual ones too",
				[]string{nextState, "coredns kms clients"}},
			{"the count is divided over several hosts: send everybody to one until it is full (\"policy concentrate\")",
				[]string{nextHosts, nextDiscover}},
			{"clones with one client machine id (CMID) count as one: generalise the image",
				[]string{"slmgr /rearm", "sysprep /generalize"}},
		},
		See: []string{seeErrors, seeGeneral, seePlanning},
	},
	{
		value: 0xC004F039, Names: []string{"SL_E_VL_BINDING_SERVICE_NOT_ENABLED"},
		Title:   "The Key Management Service (KMS) is not enabled",
		Meaning: "The machine that answered is not a KMS host, or nothing answered the client at all.",
		Causes: []Cause{
			{"no KMS host key is installed on that machine: the record points at the wrong one",
				[]string{nextNslookup, nextState}},
			{"a firewall or something between swallowed the answer", []string{nextTest, nextProbe}},
		},
		See: []string{seeErrors},
	},
	{
		value: 0xC004F041, Names: []string{"SL_E_VL_KEY_MANAGEMENT_SERVICE_NOT_ACTIVATED"},
		Title:   "The Key Management Service (KMS) is not activated",
		Meaning: "The host has a key and was itself never activated by Microsoft, or lost that. It activates nobody until it is.",
		Causes: []Cause{
			{"the host was not activated after its key was installed",
				[]string{nextActivate, nextState}},
			{"its hardware or virtual machine changed: activate it again, by telephone if it cannot reach Microsoft", []string{"slui 4"}},
			{"the key was used on six hosts already",
				[]string{nextState}},
		},
		See: []string{seeErrors, seePlanning},
	},
	{
		value: 0xC004F06C, Names: []string{"SL_E_VL_INVALID_TIMESTAMP"},
		Title: "The Key Management Service (KMS) determined that the request timestamp is invalid",
		Meaning: "The clocks of client and host are more than four hours apart. Both are compared in UTC, so a wrong time zone with " +
			"the right wall clock is enough.",
		Causes: []Cause{
			{"the client's clock is wrong: a virtual machine that was asleep, a battery, no time server",
				[]string{nextClock, nextResync, nextActivate}},
			{"the time zone is wrong and somebody set the clock to match",
				[]string{"Get-TimeZone", "Get-Date; (Get-Date).ToUniversalTime()"}},
			{"the host's clock is the wrong one: then all its clients see this",
				[]string{"w32tm /query /status"}},
		},
		See: []string{seeErrors, seeF074, seeF06C},
	},
	{
		value: 0xC004F035, Names: []string{"SL_E_VL_NOT_WINDOWS_SLP"},
		Title: "The computer could not be activated with a Volume license product key",
		Meaning: "The machine's firmware has no marker of an earlier, qualifying Windows licence. The network and the KMS host are " +
			"in order.",
		Causes: []Cause{
			{"the machine was bought without Windows, or its firmware lost the marker",
				[]string{"slmgr /dlv"}},
			{"a volume edition was installed where the licence is for another", []string{"slmgr /dli"}},
		},
		See: []string{seeErrors},
	},
	{
		value: 0xC004F050, Names: []string{"SL_E_INVALID_PRODUCT_KEY"},
		Title:   "The Software Licensing Service reported that the product key is invalid",
		Meaning: "The key that was typed is not one for this product. No host was asked.",
		Causes: []Cause{
			{"a typing error",
				[]string{"slmgr /ipk XXXXX-XXXXX-XXXXX-XXXXX-XXXXX"}},
			{"a key for another edition, or a KMS host key on a system that cannot be a host for it", []string{"slmgr /dli"}},
		},
		See: []string{seeErrors},
	},
	{
		value: 0x8007000D, Names: []string{"ERROR_INVALID_DATA"},
		Title: "The data is invalid",
		Meaning: "From a host: it could not read the request, or does not know its protocol version. A rehearsal host of this " +
			"project answers every genuine client so.",
		Causes: []Cause{
			{"the host that answered is a rehearsal host, which activates nothing: take its record out of production",
				[]string{nextDiscover, nextHosts}},
			{"the client asked itself: Windows 8 and later refuse a KMS host on the same machine",
				[]string{nextForget, nextState}},
			{"the client cannot read its own registry: permissions below HKLM\\SYSTEM\\CurrentControlSet\\Enum\\Root",
				[]string{"Get-Acl HKLM:\\SYSTEM\\CurrentControlSet\\Enum\\Root"}},
			{"something between client and host changes what they say",
				[]string{nextTest}},
		},
		See: []string{see000D, seeErrors},
	},
	{
		value: 0x80070005, Names: []string{"ERROR_ACCESS_DENIED", "E_ACCESSDENIED"},
		Title: "Access is denied",
		Meaning: "Mostly of the command itself: slmgr needs an elevated prompt. From a host: it refuses anonymous RPC calls, which " +
			"all KMS calls are.",
		Causes: []Cause{
			{"the prompt is not elevated",
				[]string{"Start-Process cmd -Verb RunAs"}},
			{"a policy on the host (RestrictRemoteClients) demands authenticated RPC",
				[]string{"Get-ItemProperty 'HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Rpc'"}},
		},
		See: []string{seeErrors, seeRPCAuth},
	},
	{
		value: 0x800706BA, Names: []string{"RPC_S_SERVER_UNAVAILABLE"},
		Title:   "The RPC server is unavailable",
		Meaning: "Nothing took the connection at the address and port of the host that the client chose.",
		Causes: []Cause{
			{"a firewall, on the host or between: the rule on the host exists and is not enabled by itself",
				[]string{nextTest, nextFirewall}},
			{"the SRV record is stale: the host is gone, or moved to another port",
				[]string{nextDiscover, nextNslookup}},
			{"the client holds on to a host that it once found", []string{nextState, nextForget, nextActivate}},
			{"the service on the host is stopped",
				[]string{nextService, nextProbe}},
		},
		See: []string{seeErrors},
	},
	{
		value: 0x800706BB, Names: []string{"RPC_S_SERVER_TOO_BUSY"},
		Title: "The RPC server is too busy to complete this operation",
		Meaning: "The far end sent the fault 0x1C010014. The responder of this project does when none of its hosts can serve the " +
			"client, so that the client tries its next record.",
		Causes: []Cause{
			{"behind the responder no KMS host is alive",
				[]string{nextHosts, nextProbe}},
			{"a KMS host is overloaded", []string{nextProbe}},
		},
		See: []string{seeC706, seeRPCE},
	},
	{
		value: 0x800706BE, Names: []string{"RPC_S_CALL_FAILED"},
		Title:   "The remote procedure call failed",
		Meaning: "The connection stood and broke before the answer was there.",
		Causes: []Cause{
			{"a firewall that inspects RPC, or a load balancer, closed the connection",
				[]string{nextTest, nextProbe}},
			{"the host stopped or restarted meanwhile", []string{nextHosts, nextActivate}},
		},
		See: []string{seeRPCE},
	},
	{
		value: 0x800706BF, Names: []string{"RPC_S_CALL_FAILED_DNE"},
		Title:   "The remote procedure call failed and did not execute",
		Meaning: "The connection was taken and ended before the request was worked on.",
		Causes: []Cause{
			{"something other than a KMS host listens there and closes on RPC",
				[]string{nextProbe}},
			{"a limit on connections at the host or before it", []string{nextHosts}},
		},
		See: []string{seeRPCE},
	},
	{
		value: 0x800706B5, Names: []string{"RPC_S_UNKNOWN_IF"},
		Title:   "The interface is unknown",
		Meaning: "An RPC service answered that is not KMS.",
		Causes: []Cause{
			{"the record has the wrong port or machine",
				[]string{nextNslookup, nextProbe}},
			{"the KMS host service is not running on that machine", []string{nextService, nextState}},
		},
		See: []string{seeC706, seeRPCE},
	},
	{
		value: 0x800706D1, Names: []string{"RPC_S_PROCNUM_OUT_OF_RANGE"},
		Title:   "The procedure number is out of range",
		Meaning: "The far end has the interface, and not the one operation that it consists of: no KMS host does that.",
		Causes:  []Cause{{"an imitation or a proxy answers instead of the host", []string{nextNslookup, nextProbe}}},
		See:     []string{seeC706, seeRPCE},
	},
	{
		value: 0x800706C0, Names: []string{"RPC_S_PROTOCOL_ERROR"},
		Title:   "A remote procedure call (RPC) protocol error occurred",
		Meaning: "One side sent what the other takes for no RPC at this point.",
		Causes: []Cause{
			{"a firewall or proxy that rewrites RPC",
				[]string{nextTest, nextProbe}},
			{"something other than a KMS host listens there", []string{nextProbe}},
		},
		See: []string{seeC706, seeRPCE},
	},
	{
		value: 0x800706F7, Names: []string{"RPC_X_BAD_STUB_DATA"},
		Title:   "The stub received bad data",
		Meaning: "The octets of the call were not as the interface has them.",
		Causes:  []Cause{{"something between client and host changes or cuts what they say", []string{nextTest, nextProbe}}},
		See:     []string{seeRPCE},
	},
	{
		value: 0x800705B4, Names: []string{"ERROR_TIMEOUT"},
		Title:   "This operation returned because the timeout period expired",
		Meaning: "Nobody answered in time: as a rule the DNS server, before any host was known.",
		Causes: []Cause{
			{"the client's DNS server does not answer",
				[]string{nextDiscover, "Get-DnsClientServerAddress"}},
			{"a firewall drops port 53 or 1688 without a word", []string{nextTest, "Test-NetConnection 192.0.2.53 -Port 53"}},
		},
		See: []string{"https://learn.microsoft.com/windows/win32/debug/system-error-codes--1300-1699-"},
	},
	{
		value: 0x8007007B, Names: []string{"ERROR_INVALID_NAME"},
		Title: "The filename, directory name, or volume label syntax is incorrect",
		Meaning: "The client had no name to look up: without a primary DNS suffix it does not even send a question. This is the case " +
			"where \"nslookup works and slmgr does not\".",
		Causes: []Cause{
			{"the machine has no DNS suffix: a workgroup, or a guest whose DHCP server gives no domain (option 15; Windows ignores " +
				"option 119)",
				[]string{nextSuffix, nextSkmsDomain, nextActivate}},
			{"records stand at the bare name _vlmcs._tcp, where nslookup finds them and no client asks",
				[]string{nextDiscover, nextNslookup}},
			{"a host name was typed with a mistake in it",
				[]string{nextState, nextForget, nextSkms}},
		},
		See: []string{seeErrors, seeDNS, seeSlmgr},
	},
	{
		value:   0x80092328,
		Title:   "DNS name does not exist",
		Meaning: "No SRV record was found under any of the client's suffixes.",
		Causes: []Cause{
			{"no _vlmcs._tcp record in the client's DNS domain",
				[]string{nextDiscover, nextNslookup}},
			{"the client's suffix is not the one under which the records are", []string{nextSuffix, nextSkmsDomain}},
			{"the host cannot publish itself (event 12293 on it)",
				[]string{nextPublishing}},
		},
		See: []string{seeErrors, seeDNS},
	},
	{
		value: 0xC0020017, Names: []string{"RPC_NT_SERVER_UNAVAILABLE"},
		Title:   "The RPC server is unavailable",
		Meaning: "In event 8198: the KMS host could not be contacted. It is 0x800706BA in another notation.",
		Causes: []Cause{
			{"a firewall, or a VPN that forces all traffic through itself and does not carry port 1688",
				[]string{nextTest, "Find-NetRoute -RemoteIPAddress 192.0.2.10"}},
			{"the record, or the name set by slmgr /skms, is the wrong one",
				[]string{nextState, nextDiscover, nextForget}},
			{"the service on the client is stuck", []string{nextRestartSPP}},
		},
		See: []string{see8198},
	},
	{
		value: 0x8007139F, Names: []string{"ERROR_INVALID_STATE"},
		Title:   "The group or resource is not in the correct state to perform the requested operation",
		Meaning: "In event 8198: the activation could not be carried out, as a rule because no KMS host could be contacted.",
		Causes: []Cause{
			{"the same as 0xC0020017: firewall, VPN, DNS or a wrong target",
				[]string{"coredns kms explain 0xC0020017", nextDiscover}},
			{"the service on the client is stuck", []string{nextRestartSPP, nextActivate}},
		},
		See: []string{see8198},
	},
}
