package explain

import (
	"slices"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	const (
		cmid = "36f27b39-2fd5-440b-be67-a09996d27a38"
		act  = "68531fb9-5511-4989-97be-d11a0f55633f"
	)
	for name, tt := range map[string]struct {
		text   string
		event  int
		field  string // one that is looked at
		value  string
		means  string
		stands []string // parts of the findings, in order
	}{
		"12288, clock": {
			text:  "0xC004F06C, 0x00000000, kms:1688, " + cmid + ", 2010/09/29 17:52, 0, 2, 41760, " + act + ", 5",
			event: 12288, field: "minutes to expiration", value: "41760", means: "29 days and 0 hours",
			stands: []string{"0xC004F06C: The Key Management Service (KMS) determined that the request timestamp is invalid: compare " +
				"the client's time"},
		},
		"12288, with its number": {
			text: "event 12288: 0x800706BA, 0x00000008, kms1.corp.example.org:1688, " + cmid +
				", 2026/11/25 08:00, 1, 1, 259200, " + act + ", 25",
			event: 12288, field: "status flags", value: "0x00000008", means: "OTHER_PC",
			stands: []string{"0x800706BA: The RPC server is unavailable"},
		},
		"12288, as the viewer has it": {
			text: "The client has sent an activation request to the key management service machine.\r\nInfo:\r\n0x8007232B, " +
				"0x01000000, , " + cmid + ", 2026/11/25 08:00, 1, 5, 0, " + act + ", 25",
			event: 12288, field: "licence status", value: "5", means: "notification: the grace period is over",
			stands: []string{"DNS name does not exist", "the client knows no host", "not licensed"},
		},
		"12288, a clock that was lost": {
			text:  "12288, 0x0, 0x0, a.b:16880, " + cmid + ", 2001/1/1 0:00, 0, 1, 1440, " + act + ", 25",
			event: 12288, field: "host and port", value: "a.b:16880", means: "another port than 1688",
			stands: []string{"before KMS existed", "runs out in 1 day and 0 hours"},
		},
		"12289, too few": {
			text:  "0x00000000, 0x04000008, 0, 0, 4, 120, 10080, 2026/11/25 08:00",
			event: 12289, field: "renewal interval", value: "10080", means: "minutes: 168h",
			stands: []string{"NOT_ENOUGH_COUNT", "not activated by this answer", "counted 4 clients: too few for servers"},
		},
		"12289, enough for servers": {
			text:  "12289: 0x0, 0x8, 1, 0, 12, 120, 10080, 2026/11/25 08:00",
			event: 12289, field: "bound", value: "1", means: "yes: the client is activated",
			stands: []string{"counted 12 clients: enough for servers"},
		},
		"12289, all well": {
			text:  "0x0, 0x8, 1, 0, 50, 120, 10080, 2026/11/25 08:00",
			event: 12289, field: "count", value: "50", means: "enough for every product; a host stops at 50",
		},
		"12290": {
			text:  "0x0, 25, pc-1.corp.example.org, " + cmid + ", 2026/11/25 08:00, 1, 2, 41760, " + act,
			event: 12290, field: "needed count", value: "25", means: "a Windows client: 25 clients must have asked the host",
		},
		"12290 of a host without the key": {
			text:  "0xC004F042, 5, \x1b[31mpc\u202e, 00000000-0000-0000-0000-000000000000, never, 7, 9, many, x",
			event: 12290, field: "machine name", value: "\x1b[31mpc\u202e",
			stands: []string{"0xC004F042", "machine id is empty", "none of 0 to 6"},
		},
		"12293": {text: "0x80072338, corp.example.org", event: 12293, field: "DNS domain", value: "corp.example.org",
			stands: []string{"0x80072338: DNS signature failed"}},
		"12294": {text: "12294: corp.example.org", event: 12294, field: "DNS domain", value: "corp.example.org",
			means: "where the host's record was put"},
		"an HRESULT that is not in the table": {
			text: "0x80070057, corp.example.org", event: 12293, field: "DNS domain", value: "corp.example.org",
			stands: []string{"facility 7 (WIN32), code 87"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseLine(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(got.Fields, func(f Field) bool { return f.Name == tt.field })
			if got.Event != tt.event || i < 0 || got.Fields[i].Value != tt.value || got.Fields[i].Meaning != tt.means {
				t.Errorf("Got %+v", got)
			}
			if len(got.Stands) != len(tt.stands) {
				t.Fatalf("Got %q, want %q", got.Stands, tt.stands)
			}
			for i, want := range tt.stands {
				if !strings.Contains(got.Stands[i], want) {
					t.Errorf("Got %q, want %q", got.Stands[i], want)
				}
			}
			notable := slices.ContainsFunc(got.Fields, func(f Field) bool { return f.Notable })
			if notable != (len(tt.stands) > 0) {
				t.Errorf("A notable field: %t, with %d findings", notable, len(tt.stands))
			}
		})
	}
}

func TestParseLineOfOthers(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "1 fields: event 12288 has 10",
		"0x0, 0x0":                "", // 12293 with nonsense is still one
		"a, b, c":                 "3 fields",
		"12288: 0x0, 0x0":         "event 12288 has 10 fields with commas between, from the HRESULT on; here are 2",
		"event 8198: 0xC0020017":  "event 8198 has no fields that are known",
		"12291: 0x8007000D":       "event 12291 has no fields that are known",
		strings.Repeat(",", 5000): "5000 octets",
	} {
		_, err := ParseLine(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}
