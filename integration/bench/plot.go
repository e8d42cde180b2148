//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/wcharczuk/go-chart/v2"
	"github.com/wcharczuk/go-chart/v2/drawing"
)

var errNothingToPlot = errors.New("nothing to plot was measured")

// plot draws the CPU time a message of nginx and of the gateway, before a TCP port and a Unix socket, for each load, G being 1.
func (b *book) plot(w io.Writer) error {
	colors := map[string]drawing.Color{"nginx": drawing.ColorFromHex("b0b8c0"), "topicgate": drawing.ColorFromHex("1f77b4"), "topicgate-unix": drawing.ColorFromHex("2a9d5c")}
	top := 1.2
	var bars []chart.Value
	for _, l := range []struct{ load, name string }{
		{loadQoS0, "QoS 0"}, {loadQoS1, "QoS 1"}, {loadKiB, "1 KiB"}, {loadV5, "MQTT 5"}, {loadFan, "1:100"}, {loadRate, "10,000/s"}, {loadConnect, "connect"},
	} {
		for _, target := range []string{"nginx", "topicgate", "topicgate-unix"} {
			ratio := b.ratio(l.load, target, "pipe", cpuMicros)
			if math.IsNaN(ratio) {
				continue
			}
			top = max(top, ratio*1.1)
			label := map[string]string{"nginx": "nginx", "topicgate": l.name, "topicgate-unix": "Unix"}[target]
			bars = append(bars, chart.Value{Label: label, Value: ratio, Style: chart.Style{FillColor: colors[target], StrokeColor: colors[target]}})
		}
	}
	if len(bars) == 0 {
		return errNothingToPlot
	}
	var ticks []chart.Tick
	for v := 0.0; v <= top; v += 0.2 {
		ticks = append(ticks, chart.Tick{Value: v, Label: fmt.Sprintf("%.1f", v)})
	}
	c := chart.BarChart{
		Title:      "CPU time a message, and a connect, beside a plain pipe (G)",
		TitleStyle: chart.Style{FontSize: 13},
		Width:      1000, Height: 380, BarWidth: 32, BarSpacing: 12,
		Background:   chart.Style{Padding: chart.Box{Top: 50, Left: 20, Right: 20, Bottom: 20}},
		XAxis:        chart.Style{FontSize: 8},
		YAxis:        chart.YAxis{Range: &chart.ContinuousRange{Min: 0, Max: top}, Ticks: ticks},
		UseBaseValue: true,
		Bars:         bars,
	}
	c.Elements = []chart.Renderable{func(r chart.Renderer, box chart.Box, _ chart.Style) {
		y := box.Bottom - int(float64(box.Height())/top)
		r.SetStrokeColor(drawing.ColorBlack)
		r.SetStrokeWidth(1)
		r.SetStrokeDashArray([]float64{6, 4})
		r.MoveTo(box.Left, y)
		r.LineTo(box.Right, y)
		r.Stroke()
		r.SetFontColor(drawing.ColorBlack)
		r.SetFontSize(9)
		r.Text("G", box.Left+4, y-4)
	}}
	return c.Render(chart.SVG, w)
}
