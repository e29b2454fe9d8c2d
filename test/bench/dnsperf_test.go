package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const goodReport = `DNS Performance Testing Tool
Version 2.10.0

[Timeout] Query timed out: msg id 20197
[Status] Testing complete (time limit)

Statistics:

  Queries sent:         62943
  Queries completed:    62941 (100.00%)
  Queries lost:         2 (0.00%)

  Response codes:       NOERROR 62941 (100.00%)
  Average packet size:  request 55, response 155
  Run time (s):         1.004576
  Queries per second:   62654.293951

  Average Latency (s):  0.002703 (min 0.000016, max 0.038061)
  Latency StdDev (s):   0.002419
`

func TestParseReport(t *testing.T) {
	got, err := parseReport([]byte(goodReport))
	want := outcome{completed: 62941, lost: 2, perSecond: 62654.293951, octets: 155}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Got %+v, %v, want %+v", got, err, want)
	}
	for name, change := range map[string][2]string{
		"some answers are errors": {"NOERROR 62941 (100.00%)", "NOERROR 62940 (100.00%), SERVFAIL 1 (0.00%)"},
		"all answers are errors":  {"NOERROR 62941", "REFUSED 62941"},
		"many are lost":           {"lost:         2 ", "lost:         7000 "},
		"nothing came":            {"62941", "0"},
		"another format":          {"Queries per second", "QPS"},
	} {
		t.Run(name, func(t *testing.T) {
			if o, err := parseReport([]byte(strings.ReplaceAll(goodReport, change[0], change[1]))); err == nil {
				t.Errorf("Got %+v, want an error", o)
			}
		})
	}
}

// TestAnswerTimes: only lines of answers count.
func TestAnswerTimes(t *testing.T) {
	verbose := "[Status] Stopping after 1.000000 seconds\n" +
		"> NOERROR _vlmcs._tcp.zone00000.example. SRV 0.015428\n" +
		"> T _vlmcs._tcp.zone00001.example. SRV\n" +
		"> NOERROR _vlmcs._tcp.zone00002.example. SRV 0.000020\n" + goodReport
	want := []time.Duration{15428 * time.Microsecond, 20 * time.Microsecond}
	if got := answerTimes([]byte(verbose)); !slices.Equal(got, want) {
		t.Errorf("Got %v, want %v", got, want)
	}
}
