package explain

// dnsCodes is how Windows shows the outcome of a DNS question, and further down of an update: 0x8007 and the Win32 code.
var dnsCodes = []Entry{
	{
		value: 0x8007232B, Names: []string{"NXDOMAIN", "DNS_ERROR_RCODE_NAME_ERROR"},
		Title: "DNS name does not exist",
		Meaning: "The DNS server says that there is no _vlmcs._tcp under the client's suffix (NXDOMAIN). Resolvers and clients " +
			"remember such an answer.",
		Causes: []Cause{
			{"nobody put a record there: the host publishes in its own domain only, and this client is in another",
				[]string{nextDiscover, nextNslookup}},
			{"the client has another suffix than expected; nslookup tries names that a client does not",
				[]string{nextSuffix, nextSkmsDomain}},
			{"the host may not write to the zone (event 12293 on it)",
				[]string{nextPublishing}},
			{"the client asks a resolver outside, which does not know the internal zone",
				[]string{"Get-DnsClientServerAddress", nextDiscover}},
		},
		See: []string{seeWin32DNS, seeErrors, seeDNS},
	},
	{
		value: 0x8007251D, Names: []string{"NODATA", "DNS_INFO_NO_RECORDS"},
		Title: "No records found for given DNS query",
		Meaning: "The name _vlmcs._tcp is there and has no SRV record (NODATA). A kms block answers so with \"all_down nodata\", and " +
			"with every host drained.",
		Causes: []Cause{
			{"all hosts are down or drained",
				[]string{nextHosts, nextProbe}},
			{"the record is of another type, or the SRV record was deleted and something else left",
				[]string{"nslookup -type=any _vlmcs._tcp.corp.example.org"}},
			{"the server does not serve the zone and refers to another, which this client cannot follow",
				[]string{nextDiscover}},
		},
		See: []string{seeWin32DNS},
	},
	{
		value: 0x8007232A, Names: []string{"SERVFAIL", "DNS_ERROR_RCODE_SERVER_FAILURE"},
		Title:   "DNS server failure",
		Meaning: "The DNS server could not find out (SERVFAIL).",
		Causes: []Cause{
			{"the zone is delegated or forwarded to a server that does not answer",
				[]string{nextDiscover, "nslookup -type=ns corp.example.org"}},
			{"a secondary server whose copy of the zone expired",
				[]string{"nslookup -type=soa corp.example.org"}},
			{"DNSSEC validation fails", []string{"dig +cd _vlmcs._tcp.corp.example.org SRV"}},
			{"a kms block with \"all_down servfail\" and every host down",
				[]string{nextHosts}},
		},
		See: []string{seeWin32DNS},
	},
	{
		value: 0x8007232D, Names: []string{"REFUSED", "DNS_ERROR_RCODE_REFUSED"},
		Title: "DNS operation refused",
		Meaning: "The DNS server does not answer this client, or not for this zone (REFUSED). In event 12293: it takes no update " +
			"from this host.",
		Causes: []Cause{
			{"the server is no resolver for this client: it serves its own zones only, and this is none of them",
				[]string{"Get-DnsClientServerAddress", nextDiscover}},
			{"a list of allowed clients on the server, or a view, leaves this one out",
				[]string{"dig _vlmcs._tcp.corp.example.org SRV"}},
			{"event 12293: the zone takes secure updates only, or the kms block has no \"update\" for this host", []string{nextPublishing}},
		},
		See: []string{seeWin32DNS, see12293},
	},
	{
		value: 0x80072329, Names: []string{"FORMERR", "DNS_ERROR_RCODE_FORMAT_ERROR"},
		Title:   "DNS server unable to interpret format",
		Meaning: "The DNS server could not read the question (FORMERR).",
		Causes: []Cause{
			{"an old server or firewall that does not know EDNS",
				[]string{"dig +noedns _vlmcs._tcp.corp.example.org SRV"}},
			{"an update that did not fit into one UDP datagram", []string{nextPublishing}},
		},
		See: []string{seeWin32DNS},
	},
	{
		value: 0x8007232C, Names: []string{"NOTIMP", "NOTIMPL", "DNS_ERROR_RCODE_NOT_IMPLEMENTED"},
		Title:   "DNS request not supported by name server",
		Meaning: "The DNS server does not do what it was asked for (NOTIMP): as a rule an update.",
		Causes: []Cause{
			{"the primary server that the zone's SOA names takes no updates",
				[]string{"nslookup -type=soa corp.example.org", nextPublishing}},
			{"the kms block has no \"update\"",
				[]string{nextHosts}},
		},
		See: []string{seeWin32DNS},
	},
	{
		value: 0x8007267C, Names: []string{"DNS_ERROR_NO_DNS_SERVERS"},
		Title:   "No DNS servers configured for local system",
		Meaning: "The client has nobody to ask.",
		Causes: []Cause{
			{"the network adapter got no DNS server",
				[]string{"Get-DnsClientServerAddress", "ipconfig /renew"}},
			{"the machine is not on the network at all", []string{"Get-NetAdapter"}},
		},
		See: []string{seeWin32DNS, "Microsoft Support: Windows activation fails with error 0x8007267C (KB 2009462)"},
	},
	update(0x8007232E, "YXDOMAIN", "DNS_ERROR_RCODE_YXDOMAIN", "DNS name that ought not exist, does exist",
		"a record of another kind stands at the name", "nslookup -type=any _vlmcs._tcp.corp.example.org"),
	update(0x8007232F, "YXRRSET", "DNS_ERROR_RCODE_YXRRSET", "DNS RR set that ought not exist, does exist",
		"another host's records are there already", nextNslookup),
	update(0x80072330, "NXRRSET", "DNS_ERROR_RCODE_NXRRSET", "DNS RR set that ought to exist, does not exist",
		"what the host wants to replace is gone", nextNslookup),
	update(0x80072331, "NOTAUTH", "DNS_ERROR_RCODE_NOTAUTH", "DNS server not authoritative for zone",
		"the server that the zone's SOA names as primary does not serve the zone, or not to this host", "nslookup -type=soa "+
			"corp.example.org"),
	update(0x80072332, "NOTZONE", "DNS_ERROR_RCODE_NOTZONE", "Name in update or prereq is not in zone",
		"a zone cut between the host's domain and _vlmcs._tcp: the update went to the zone above", nextDiscover),
	{
		value: 0x80072338, Names: []string{"BADSIG", "DNS_ERROR_RCODE_BADSIG"},
		Title: "DNS signature failed to verify",
		Meaning: "In event 12293: this host may not change the record. In a zone with secure updates the first KMS host owns " +
			"_VLMCS._TCP, and every other one fails so.",
		Causes: []Cause{
			{"the record belongs to the first host: in DNS Manager, give a group with all KMS hosts the right to write _VLMCS below _tcp",
				[]string{nextPublishing, "dnsmgmt.msc"}},
			{"the key of a signed update is not the server's",
				[]string{nextClock}},
		},
		See: []string{see12293, seeOfficeNS, seeWin32DNS},
	},
	update(0x80072339, "BADKEY", "DNS_ERROR_RCODE_BADKEY", "DNS bad key",
		"the server does not know the key that the update is signed with", nextPublishing),
	update(0x8007233A, "BADTIME", "DNS_ERROR_RCODE_BADTIME", "DNS signature validity expired",
		"the clocks of host and DNS server differ", nextClock),
}

// update is a code that only a host meets, when it tries to publish itself.
func update(value uint32, word, name, title, cause, next string) Entry {
	return Entry{
		value: value, Names: []string{word, name}, Title: title,
		Meaning: "In event 12293 on a KMS host: the DNS server answered its update with " + word + ", so its record is not in DNS by " +
			"itself.",
		Causes: []Cause{{cause, []string{next}}, {"publishing by hand is an alternative", []string{"slmgr /cdns", nextDiscover}}},
		See:    []string{seeWin32DNS, see12293},
	}
}
