package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Plots are SVG with colours that can be told apart in grey, and on a background of their own, whatever the page's.

const (
	plotWidth = 760
	plotFont  = `font-family="sans-serif" font-size="12"`
)

var colours = []string{"#1b4f8f", "#d9822b", "#7a7a7a", "#2e8b57", "#9b3d8f"}

// image is how the document shows a plot.
func image(title, file string) string { return fmt.Sprintf("\n![%s](%s)\n", title, file) }

// canvas begins an SVG of that height.
func canvas(height int, title string) *strings.Builder {
	b := new(strings.Builder)
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%[1]d\" height=\"%[2]d\" %s>\n", plotWidth, height, plotFont)
	fmt.Fprintf(b, "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n")
	text(b, plotWidth/2, 20, "middle", title)
	return b
}

func text(b *strings.Builder, x, y float64, anchor, words string) {
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#222222\">%s</text>\n", x, y, anchor, html.EscapeString(words))
}

func line(b *strings.Builder, x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(b, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour)
}

// bars is a plot of one value each.
type bars struct {
	title, unit string
	bars        []bar
}

type bar struct {
	name  string
	value spread
}

func (p bars) svg() string {
	const left, right, top, row = 250, 70, 40, 26
	most := 0.0
	for _, v := range p.bars {
		most = max(most, v.value.most)
	}
	at := func(v float64) float64 { return left + v/most*(plotWidth-left-right) }
	b := canvas(top+row*len(p.bars)+30, p.title)
	for i, v := range p.bars {
		y := float64(top + row*i)
		text(b, left-8, y+16, "end", v.name)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, y+3, at(v.value.median)-left, row-8, colours[min(i, 1)*2])
		middle := y + 3 + (row-8)/2
		line(b, at(v.value.least), middle, at(v.value.most), middle, "#000000")
		for _, end := range []float64{v.value.least, v.value.most} {
			line(b, at(end), middle-4, at(end), middle+4, "#000000")
		}
		text(b, at(v.value.most)+6, y+16, "start", fmt.Sprintf("%.1f", v.value.median))
	}
	text(b, left, float64(top+row*len(p.bars)+18), "start", p.unit)
	return b.String() + "</svg>\n"
}

// curves is a plot of lines, upwards in powers of ten.
type curves struct {
	title, across, up string
	curves            []curve
}

type curve struct {
	name   string
	colour int
	dashed bool
	points [][2]float64
}

func (p curves) svg() string {
	const left, right, top, height = 70, 200, 40, 300
	var xs, ys []float64
	for _, c := range p.curves {
		for _, pt := range c.points {
			xs, ys = append(xs, pt[0]), append(ys, pt[1])
		}
	}
	most := slices.Max(xs)
	low, high := math.Floor(math.Log10(slices.Min(ys))), math.Ceil(math.Log10(slices.Max(ys)))
	across := func(x float64) float64 { return left + x/most*(plotWidth-left-right) }
	up := func(y float64) float64 { return top + height - (math.Log10(y)-low)/max(high-low, 1)*height }
	b := canvas(top+height+50, p.title)
	for e := low; e <= high; e++ {
		y := math.Pow(10, e)
		line(b, left, up(y), plotWidth-right, up(y), "#dddddd")
		text(b, left-6, up(y)+4, "end", fmt.Sprintf("%.0f", y))
	}
	for i := range 6 {
		x := most * float64(i) / 5
		line(b, across(x), top+height, across(x), top+height+5, "#222222")
		text(b, across(x), top+height+18, "middle", fmt.Sprintf("%.0f", x))
	}
	text(b, (left+plotWidth-right)/2, top+height+38, "middle", p.across)
	text(b, left, top-6, "middle", p.up)
	for i, c := range p.curves {
		p.one(b, c, across, up)
		y := float64(top + 10 + 18*i)
		fmt.Fprintf(b, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" %s/>\n", plotWidth-right+12, y, plotWidth-right+36, y, c.stroke())
		text(b, plotWidth-right+42, y+4, "start", c.name)
	}
	return b.String() + "</svg>\n"
}

func (p curves) one(b *strings.Builder, c curve, across, up func(float64) float64) {
	var points []string
	for _, pt := range c.points {
		points = append(points, fmt.Sprintf("%.1f,%.1f", across(pt[0]), up(pt[1])))
		fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", across(pt[0]), up(pt[1]), colours[c.colour])
	}
	fmt.Fprintf(b, "<polyline points=\"%s\" fill=\"none\" %s/>\n", strings.Join(points, " "), c.stroke())
}

func (c curve) stroke() string {
	dashes := ""
	if c.dashed {
		dashes = ` stroke-dasharray="5 4"`
	}
	return fmt.Sprintf("stroke=\"%s\" stroke-width=\"2\"%s", colours[c.colour], dashes)
}
