package explain

// events is what Windows logs about KMS.
var events = []Entry{
	{
		value: 12288,
		Title: "The client has sent an activation request to the KMS host",
		Meaning: "In the client's Application log, one for each host it tried. Its fields: HRESULT, status flags, host:port, CMID, " +
			"client's time, virtual machine, licence status, minutes to expiration, activation id, needed count. An event 12289 behind " +
			"it is the answer; without one there was none.",
		Causes: []Cause{
			{"read its fields",
				[]string{nextClientLog, nextExplainLine}},
			{"no 12289 behind it: the host was not reached, or kept silent", []string{nextTest, nextProbe}},
		},
		See: []string{seeGeneral, seeVA2, seeEvents},
	},
	{
		value: 12289,
		Title: "The client has processed an activation response from the KMS host",
		Meaning: "In the client's Application log. Its fields: HRESULT, status flags, bound (1: activated), unused, count, " +
			"activation interval, renewal interval (minutes), client's time. HRESULT 0 with bound 0 and the flag 0x04000000 is a count " +
			"that is too low.",
		Causes: []Cause{
			{"read its fields",
				[]string{nextClientLog, `coredns kms explain -event "12289: 0x00000000, 0x04000008, 0, 0, 4, 120, 10080, ..."`}},
		},
		See: []string{seeGeneral, seeVA2, seeEvents},
	},
	{
		value: 12290,
		Title: "An activation request has been processed",
		Meaning: "On the KMS host, in Applications and Services Logs, Key Management Service; one for each request. Its fields: " +
			"HRESULT, needed count, client's name, CMID, client's time, virtual machine, licence status, minutes to expiration, " +
			"activation id. It does not have the client's address.",
		Causes: []Cause{
			{"read its fields",
				[]string{nextHostLog, `coredns kms explain -event "12290: 0x00000000, 25, pc1.corp.example.org, ..."`}},
			{"there is none for a client: it did not reach this host, the host's firewall rule is not enabled, or the log is full",
				[]string{nextFirewall, nextTest}},
		},
		See: []string{seeGeneral, seeVA2, seeEvents},
	},
	{
		value: 12291,
		Title: "The Key Management Service could not be initialised",
		Meaning: "On the KMS host, in the Application log: it does not serve anybody. The HRESULT says why. (The number is from the " +
			"order of Microsoft's management pack, not from a document.)",
		Causes: []Cause{
			{"another program has TCP port 1688",
				[]string{"Get-NetTCPConnection -LocalPort 1688 -State Listen"}},
			{"the service did not start, or has no KMS host key", []string{nextService, nextState}},
		},
		See: []string{seeVA2},
	},
	{
		value:   12292,
		Title:   "The renewal timer of the Key Management Service could not be initialised",
		Meaning: "On the KMS host, in the Application log: the host does not renew its own state by itself.",
		Causes:  []Cause{{"start the service again", []string{nextRestartSPP, nextState}}},
		See:     []string{seeVA2},
	},
	{
		value: 12293,
		Title: "Publishing the Key Management Service (KMS) to DNS failed",
		Meaning: "On the KMS host, in the Application log, on every start and once a day: HRESULT, DNS domain. Its record is not in " +
			"DNS by itself.",
		Causes: []Cause{
			{"the HRESULT says why: 0x80072338 is the record of another host, 0x8007232D a zone that takes no update from this one",
				[]string{nextPublishing, "coredns kms explain 0x80072338"}},
			{"it does not have to publish: where records are kept by hand, or by this project, switch it off",
				[]string{"slmgr /cdns", nextRestartSPP}},
			{"a kms block with \"update { observe }\" refuses on purpose and records who tried",
				[]string{nextHosts}},
		},
		See: []string{see12293, seeDNS, seeVA2},
	},
	{
		value: 12294,
		Title: "Publishing the Key Management Service (KMS) to DNS succeeded",
		Meaning: "On the KMS host, in the Application log: DNS domain. The record stays when the host is switched off; nothing " +
			"withdraws it.",
		Causes: []Cause{{"see what clients find now", []string{nextDiscover}}},
		See:    []string{seeDNS, seeVA2},
	},
	{
		value: 8198,
		Title: "License Activation (slui.exe) failed",
		Meaning: "On the client, in the Application log: an activation failed, with the HRESULT in the text. The events 12288 near " +
			"it say which host failed with what.",
		Causes: []Cause{
			{"read the HRESULT", []string{"Get-WinEvent -FilterHashtable @{LogName='Application'; Id=8198} -MaxEvents 5 | Format-List " +
				"TimeCreated,Message", "coredns kms explain 0xC0020017"}},
			{"what was tried before",
				[]string{nextClientLog}},
		},
		See: []string{see8198},
	},
}

// flags is the bits of the second field of events 12288 and 12289.
var flags = []Entry{
	{
		value: 0x00000008, Names: []string{"OTHER_PC"},
		Title:   "Another machine",
		Meaning: "In the flags of events 12288 and 12289: the KMS host is another machine, as it nearly always is.",
		Causes:  []Cause{{"nothing is wrong", nil}},
		See:     []string{seeVA2, seeEvents},
	},
	{
		value: 0x01000000, Names: []string{"NO_BINDING_SERVER_REGISTRATION"},
		Title:   "No host is registered",
		Meaning: "In the flags of events 12288 and 12289: the client has neither a host that was set nor one that it found earlier.",
		Causes:  []Cause{{"DNS is to tell it one, and does not", []string{nextDiscover, nextState}}},
		See:     []string{seeVA2, seeEvents},
	},
	{
		value: 0x02000000, Names: []string{"INVALID_REGISTRATION_DATA_TYPE"},
		Title: "The registered host is not of the right type",
		Meaning: "In the flags of events 12288 and 12289: what the registry has as the name or port of the host is not of the right " +
			"type.",
		Causes: []Cause{{"somebody wrote KeyManagementServiceName or its port by hand", []string{nextForget, nextSkms}}},
		See:    []string{seeVA2, seeEvents},
	},
	{
		value: 0x04000000, Names: []string{"NOT_ENOUGH_COUNT"},
		Title:   "The host's count is too low",
		Meaning: "In the flags of event 12289: the answer was good, and the client stays as it is since the host counts too few clients.",
		Causes:  []Cause{{"the same as 0xC004F038", []string{"coredns kms explain 0xC004F038"}}},
		See:     []string{seeVA2, seeEvents},
	},
	{
		value: 0x08000000, Names: []string{"NOT_WINDOWS_SLP"},
		Title:   "No marker of an earlier Windows licence",
		Meaning: "In the flags of event 12289: the machine's firmware has no marker of a qualifying licence.",
		Causes:  []Cause{{"the same as 0xC004F035", []string{"coredns kms explain 0xC004F035"}}},
		See:     []string{seeVA2, seeEvents},
	},
}
