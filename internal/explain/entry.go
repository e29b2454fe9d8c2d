// Package explain knows what the codes mean that Windows, DNS and RPC show when an activation fails: what each says here, what
// is behind it, most frequent first, and what to type next. It is a table of constants, which any number of goroutines may read.
package explain

import (
	"fmt"
	"slices"
)

// Kind is what family a code is of.
type Kind string

const (
	KindHRESULT Kind = "hresult"   // what slmgr shows, and the first field of most events
	KindDNS     Kind = "dns"       // an HRESULT that stands for the outcome of a DNS question or update
	KindFault   Kind = "rpc-fault" // the status of a DCE/RPC fault
	KindEvent   Kind = "event"     // the number of an event in a Windows log
	KindFlag    Kind = "flag"      // a bit of the status flags in events 12288 and 12289
	KindPort    Kind = "port"      // a TCP port
	KindUnknown Kind = "unknown"   // not in the table: taken apart as far as a code can be
)

// Entry is one code and all that is known about it.
type Entry struct {
	Code    string   `json:"code"`            // as Windows writes it: 0xC004F074, 12288
	Kind    Kind     `json:"kind"`            //
	Names   []string `json:"names,omitempty"` // what else it is called: NXDOMAIN, SL_E_VL_NOT_ENOUGH_COUNT
	Title   string   `json:"title"`           // the official text, shortened
	Meaning string   `json:"meaning"`         // what it says about KMS
	Causes  []Cause  `json:"causes"`          // most frequent first
	See     []string `json:"see,omitempty"`   // where this is from

	value uint32 // Code as a number
}

// Cause is one thing that may be behind a code, and the commands that show it or mend it.
type Cause struct {
	Text string   `json:"text"`
	Next []string `json:"next,omitempty"`
}

// entries is every entry: HRESULTs before the DNS codes, and so on, each table in its own order.
var entries = slices.Concat(
	coded(KindHRESULT, "0x%08X", hresults),
	coded(KindDNS, "0x%08X", dnsCodes),
	coded(KindFault, "0x%08X", faults),
	coded(KindEvent, "%d", events),
	coded(KindFlag, "0x%08X", flags),
	coded(KindPort, "%d", ports),
)

// coded fills in what a table need not repeat in every row.
func coded(kind Kind, format string, table []Entry) []Entry {
	for i := range table {
		table[i].Kind, table[i].Code = kind, fmt.Sprintf(format, table[i].value)
	}
	return table
}

// Entries returns every entry, the same each time. Whoever asks must not change what they hold.
func Entries() []Entry { return slices.Clone(entries) }

// HRESULT returns the entry of an HRESULT, one that stands for a DNS outcome included.
func HRESULT(code uint32) (Entry, bool) { return find(code, KindHRESULT, KindDNS) }

// find returns the entry of a code of one of kinds.
func find(value uint32, kinds ...Kind) (Entry, bool) {
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.value == value && slices.Contains(kinds, e.Kind) })
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}

// Sources, as in "See".
const (
	seeErrors   = "https://learn.microsoft.com/windows-server/get-started/activation-error-codes"
	seeGeneral  = "https://learn.microsoft.com/windows-server/get-started/activation-troubleshoot-kms-general"
	seeSlmgr    = "https://learn.microsoft.com/windows-server/get-started/activation-slmgr-vbs-options"
	seeDNS      = "https://learn.microsoft.com/windows-server/get-started/common-troubleshooting-procedures-kms-dns"
	seePlanning = "https://learn.microsoft.com/windows-server/get-started/kms-activation-planning"
	seeF074     = "Microsoft Support: Error 0xC004F074 when you activate Windows"
	seeF042     = "Microsoft Support: Error 0xC004F042, the specified KMS cannot be used"
	seeF06C     = "Microsoft Support: Error 0xC004F06C when you activate Windows"
	see000D     = "Microsoft Support: Error 0x8007000D when you activate a machine"
	see8198     = "Microsoft Support: Event 8198 with 0xC0020017 or 0x8007139F, KMS contact failure"
	see12293    = "Microsoft Support: Event 12293 with 0x800723.., a KMS host cannot publish itself (KB 2553863)"
	seeWin32DNS = "https://learn.microsoft.com/windows/win32/debug/system-error-codes--9000-11999-"
	seeVA2      = "Volume Activation 2.0 Operations Guide, Microsoft, March 2008, pages 26 to 30"
	seeEvents   = "https://learn.microsoft.com/previous-versions/ff793440"
	seeC706     = "DCE 1.1: Remote Procedure Call (C706), appendix E"
	seeRPCE     = "[MS-RPCE] Remote Procedure Call Protocol Extensions"
	seeRPCAuth  = "https://learn.microsoft.com/windows-server/security/rpc-interface-restrict"
	seeOfficeNS = "https://learn.microsoft.com/previous-versions/office/office-2013-resource-kit/dn385358(v=office.15)"
)

// Commands that several entries end in.
const (
	nextDiscover   = "coredns kms discover -suffix corp.example.org"
	nextProbe      = "coredns kms probe kms1.corp.example.org"
	nextNslookup   = "nslookup -type=srv _vlmcs._tcp.corp.example.org"
	nextTest       = "Test-NetConnection kms1.corp.example.org -Port 1688"
	nextClock      = "w32tm /stripchart /computer:kms1.corp.example.org /samples:3 /dataonly"
	nextResync     = "w32tm /resync"
	nextState      = "slmgr /dlv"
	nextActivate   = "slmgr /ato"
	nextSkms       = "slmgr /skms kms1.corp.example.org:1688"
	nextSkmsDomain = "slmgr /skms-domain corp.example.org"
	nextForget     = "slmgr /ckms"
	nextService    = "Get-Service sppsvc"
	nextClientLog  = "Get-WinEvent -FilterHashtable @{LogName='Application'; Id=12288,12289} -MaxEvents 10 | Format-List " +
		"TimeCreated,Message"
	nextHostLog = "Get-WinEvent -FilterHashtable @{LogName='Key Management Service'; Id=12290} -MaxEvents 10 | Format-List " +
		"TimeCreated,Message"
	nextPublishing = "Get-WinEvent -FilterHashtable @{LogName='Application'; Id=12293,12294} -MaxEvents 10 | Format-List " +
		"TimeCreated,Message"
	nextFirewall    = "Enable-NetFirewallRule -Name SPPSVC-In-TCP"
	nextHosts       = "coredns kms hosts"
	nextSuffix      = "Get-DnsClientGlobalSetting; Get-DnsClient | Format-Table InterfaceAlias,ConnectionSpecificSuffix"
	nextRestartSPP  = "Restart-Service sppsvc"
	nextExplainLine = `coredns kms explain -event "0xC004F06C, 0x00000000, kms:1688, ..."`
)
