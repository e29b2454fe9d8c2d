package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func TestLookup(t *testing.T) {
	for text, want := range map[string]string{
		"0xC004F074":               "0xC004F074",
		"0xc004f074":               "0xC004F074",
		"0XC004F074":               "0xC004F074",
		"C004F074":                 "0xC004F074",
		"c004f074":                 "0xC004F074",
		"c004f074h":                "0xC004F074",
		"-1073418124":              "0xC004F074",
		"3221549172":               "0xC004F074",
		"  0xC004F074.\n":          "0xC004F074",
		"error 0xC004F074":         "0xC004F074",
		"hr=0x80070005":            "0x80070005",
		"80070005":                 "0x80070005",
		"8007000d":                 "0x8007000D",
		"-2147024883":              "0x8007000D",
		"0":                        "0x00000000",
		"0x0":                      "0x00000000",
		"12288":                    "12288",
		"event 12288":              "12288",
		"Event ID: 12293":          "12293",
		"EventID=8198":             "8198",
		"1073754112":               "12288", // with its qualifiers, as Get-EventLog has it
		"NXDOMAIN":                 "0x8007232B",
		"nxdomain":                 "0x8007232B",
		"rcode SERVFAIL":           "0x8007232A",
		"nodata":                   "0x8007251D",
		"REFUSED":                  "0x8007232D",
		"notauth":                  "0x80072331",
		"9003":                     "0x8007232B", // the Win32 code
		"1722":                     "0x800706BA",
		"0x6BA":                    "0x800706BA",
		"0x1C010014":               "0x1C010014",
		"1c010014":                 "0x1C010014",
		"nca_op_rng_error":         "0x1C010002",
		"0x6F7":                    "0x000006F7",
		"5":                        "0x00000005",
		"1688":                     "1688",
		"port 1688":                "1688",
		"tcp/1688":                 "1688",
		"SL_E_VL_NOT_ENOUGH_COUNT": "0xC004F038",
		"0x8":                      "0x00000008",
		"flags 0x04000000":         "0x04000000",
		"0x4000008":                "0x04000008",
		"ERROR_TIMEOUT (1460)":     "0x800705B4",
		"Error: 0xC004F042 The Software Licensing Service determined that the specified KMS cannot be used.": "0xC004F042",
		"slui.exe failed with 5 tries: hr=0xC0020017":                                                        "0xC0020017",
	} {
		got, err := Lookup(text)
		if err != nil || got.Code != want || got.Kind == KindUnknown {
			t.Errorf("%q: got %s %s %v, want %s", text, got.Kind, got.Code, err, want)
		}
	}
}

func TestLookupOfSeveralFlags(t *testing.T) {
	got, err := Lookup("0x04000008")
	if err != nil || got.Kind != KindFlag || !slices.Equal(got.Names, []string{"OTHER_PC",
		"NOT_ENOUGH_COUNT"}) || len(got.Causes) != 2 {
		t.Errorf("Got %+v, %v", got, err)
	}
}

func TestLookupOfUnknownCodes(t *testing.T) {
	for text, tt := range map[string]struct{ code, title, next string }{
		"0x80070057":  {"0x80070057", "facility 7 (WIN32), code 87", "net helpmsg 87"},
		"0x80041003":  {"0x80041003", "facility 4", "slui.exe 0x2a 0x80041003"},
		"0xC0000022":  {"0xC0000022", "NTSTATUS, facility 0, code 0x0022", "certutil -error 0xC0000022"},
		"0x1C000001":  {"0x1C000001", "no failure", "certutil -error"},
		"2":           {"2", "Win32 error 2 (0x80070002 as an HRESULT)", "net helpmsg 2"},
		"0xC004F075":  {"0xC004F075", "facility 4 (ITF", "coredns kms explain 0xC004F074"},
		"-1":          {"0xFFFFFFFF", "NTSTATUS", ""},
		"0xC004F0674": {},
	} {
		got, err := Lookup(text)
		if tt.code == "" {
			if err == nil || !strings.Contains(err.Error(), "did you mean 0xC004F074") {
				t.Errorf("%q: got %s, %v, want to be told what is like it", text, got.Code, err)
			}
			continue
		}
		var next []string
		for _, c := range got.Causes {
			next = append(next, c.Next...)
		}
		if text == "-1" {
			tt.title = "a failure"
		}
		if err != nil || got.Kind != KindUnknown || got.Code != tt.code || !strings.Contains(got.Title,
			tt.title) || !strings.Contains(strings.Join(next, "\n"), tt.next) {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, tt)
		}
	}
}

func TestLookupOfNoCode(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "no code: write one as in 0xC004F074",
		" \n":                     "no code",
		"hello":                   `"hello" is no code: write one as in 0xC004F074, -1073418124, 12288 or NXDOMAIN`,
		"NXDOMIAN":                "did you mean NXDOMAIN?",
		"servfial":                "did you mean SERVFAIL?",
		"0xC004F0744":             "did you mean 0xC004F074?",
		"0xG004F074":              "did you mean 0xC004F074?",
		"the connection refused":  "is no code",
		"it failed 5 times":       "is no code",
		"99999999999999999999":    "is no code",
		"-99999999999":            "is no code",
		strings.Repeat("x", 4097): "4097 octets",
		strings.Repeat("é", 2000): "...",
	} {
		if got, err := Lookup(text); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.40q: got %+v, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestHRESULT(t *testing.T) {
	for code, want := range map[uint32]bool{0xC004F074: true, 0x8007232B: true, 0: true, 12288: false, 0x1C010014: false,
		0x80070057: false} {
		if e, ok := HRESULT(code); ok != want || ok && e.value != code {
			t.Errorf("0x%08X: got %t, %s", code, ok, e.Code)
		}
	}
}

// TestEntries is what holds for every entry, whoever adds it.
func TestEntries(t *testing.T) {
	names := make(map[string]string)
	for _, e := range Entries() {
		if got, err := Lookup(e.Code); err != nil || got.Code != e.Code || got.Kind != e.Kind {
			t.Errorf("%s is found as %s %s, %v", e.Code, got.Kind, got.Code, err)
		}
		for _, n := range append([]string{e.Code}, e.Names...) {
			if names[n] != "" {
				t.Errorf("%s is both %s and %s", n, names[n], e.Code)
			}
			names[n] = e.Code
			if got, err := Lookup(n); err != nil || got.Code != e.Code {
				t.Errorf("%s is found as %s, %v, want %s", n, got.Code, err, e.Code)
			}
		}
		if e.Title == "" || e.Meaning == "" || len(e.Causes) == 0 || len(e.See) == 0 {
			t.Errorf("%s has no title, meaning, cause or source: %+v", e.Code, e)
		}
		if !strings.HasSuffix(e.Meaning, ".") && !strings.HasSuffix(e.Meaning, ")") {
			t.Errorf("%s: its meaning is no sentence: %q", e.Code, e.Meaning)
		}
		next := 0
		for _, c := range e.Causes {
			next += len(c.Next)
			if c.Text == "" || slices.Contains(c.Next, "") {
				t.Errorf("%s has an empty cause or command: %+v", e.Code, c)
			}
			for _, n := range c.Next {
				if code, ok := strings.CutPrefix(n, "coredns kms explain 0x"); ok {
					if _, known := names["0x"+code]; !known && !knownCode("0x"+code) {
						t.Errorf("%s sends to %q, which is not in the table", e.Code, n)
					}
				}
				if strings.IndexFunc(n, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) >= 0 {
					t.Errorf("%s has a command that cannot be typed: %q", e.Code, n)
				}
			}
		}
		if next == 0 && e.Code != "0x00000008" {
			t.Errorf("%s does not say what to type", e.Code)
		}
	}
}

func knownCode(code string) bool {
	return slices.ContainsFunc(Entries(), func(e Entry) bool { return e.Code == code })
}

// TestKnowsWhatTheProjectKnows: whatever HRESULT or fault status the project's other packages have a constant or a word for,
// the operator who sees it finds here.
func TestKnowsWhatTheProjectKnows(t *testing.T) {
	found := 0
	for file, kinds := range map[string][]Kind{
		"../kmswire/hresult.go": {KindHRESULT, KindDNS},
		"../dcerpc/status.go":   {KindFault},
	} {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				n, err := strconv.ParseUint(v.Values[0].(*ast.BasicLit).Value, 0, 32)
				if err != nil {
					t.Fatalf("%s: %v: %v", file, v.Names, err)
				}
				found++
				if _, ok := find(uint32(n), kinds...); !ok {
					t.Errorf("%s has %v, 0x%08X, which no entry explains", file, v.Names, n)
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("Found %d constants, want the project's", found)
	}
	literal := regexp.MustCompile(`\b0x(?:8007|8009|C004|C002)[0-9A-Fa-f]{4}\b`)
	for _, pattern := range []string{"../../*.go", "../../build/*.go", "../../kmsresponder/*.go", "../../plugin/*.go", "../*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("No files match %s: %v", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "../explain/") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, code := range literal.FindAllString(string(text), -1) {
				n, err := strconv.ParseUint(code, 0, 32)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := HRESULT(uint32(n)); !ok {
					t.Errorf("%s has %s, which no entry explains", file, code)
				}
			}
		}
	}
}

func FuzzLookup(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Lookup(text)
		if err == nil && (e.Code == "" || e.Title == "" || e.Meaning == "" || len(e.Causes) == 0) {
			t.Errorf("%q: got %+v", text, e)
		}
		if l, err := ParseLine(text); err == nil && (l.Event == 0 || len(l.Fields) == 0) {
			t.Errorf("%q: got %+v", text, l)
		}
	})
}
