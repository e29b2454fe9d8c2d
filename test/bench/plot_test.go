package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestPlots: what is drawn can be read, whatever names have in them.
func TestPlots(t *testing.T) {
	for name, svg := range map[string]string{
		"bars": bars{title: "a < b", bars: []bar{{"kms & more", spread{2, 1, 3}}, {"other", spread{20, 10, 30}}}}.svg(),
		"curves": curves{title: "a < b", curves: []curve{
			{name: "kms & more", points: [][2]float64{{1000, 400}, {2000, 500}}}, {name: "other", dashed: true, points: [][2]float64{{1500, 90000}}},
		}}.svg(),
	} {
		t.Run(name, func(t *testing.T) {
			d := xml.NewDecoder(strings.NewReader(svg))
			for {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("Not XML: %v\n%s", err, svg)
				}
			}
			for _, want := range []string{"a &lt; b", "kms &amp; more", "other"} {
				if !strings.Contains(svg, want) {
					t.Errorf("No %q in\n%s", want, svg)
				}
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("Not every point has a place:\n%s", svg)
			}
		})
	}
}
