package timeline

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Sizes of the picture, in its own units (pixels at 100 %).
const (
	svgWidth  = 960
	svgLabels = 232 // the chart begins here
	svgRight  = 84  // room for the last bar's duration
	svgTop    = 92
	svgRow    = 22
	svgBar    = 12
)

// svgStyle makes the picture readable on light and dark pages: it is
// transparent, and its greys follow what the reader's browser prefers.
const svgStyle = `
text { font: 12px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.quiet { fill: #57606a }
.grid { stroke: #8c959f; stroke-opacity: .25 }
.change { stroke: #8c959f; stroke-opacity: .8; stroke-dasharray: 3 3 }
.diamond { fill: #57606a }
.failed { fill: #cf222e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.quiet { fill: #9198a1 }
.diamond { fill: #9198a1 }
.failed { fill: #ff7b72 }
}
`

// svgColors tell nodes apart, also for the colour-blind, on light and on dark.
var svgColors = [...]string{"#0f8bd0", "#d9822b", "#1a9e77", "#b56fc4", "#8a8f3c", "#c25b5b"}

// SVG writes the switch as a picture.
func SVG(w io.Writer, s Switch) error {
	rs, sc := rows(s)
	p := picture{sc: sc, height: svgTop + len(rs)*svgRow + 16, colors: nodeColors(s)}
	p.open(s)
	p.axis()
	for i, r := range rs {
		y := svgTop + i*svgRow
		if r.change != nil {
			p.change(r, y)
		} else {
			p.span(r, y)
		}
	}
	p.printf("</svg>\n")
	_, err := io.WriteString(w, p.b.String())
	return err
}

type picture struct {
	b      strings.Builder
	sc     scale
	height int
	colors map[cluster.NodeName]string
}

func nodeColors(s Switch) map[cluster.NodeName]string {
	names := map[cluster.NodeName]bool{}
	for _, sp := range s.Spans {
		names[sp.Node] = true
	}
	colors := map[cluster.NodeName]string{}
	for i, n := range slices.Sorted(maps.Keys(names)) {
		colors[n] = svgColors[i%len(svgColors)]
	}
	return colors
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// x is where an instant lies; what runs off the scale ends at the right edge.
func (p *picture) x(at Millis) float64 {
	const chart = svgWidth - svgLabels - svgRight
	return svgLabels + chart*min(1, float64(at)/float64(p.sc.length))
}

func (p *picture) open(s Switch) {
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`+"\n",
		svgWidth, p.height, svgWidth, p.height)
	p.printf("<title>%s</title>\n<style>%s</style>\n", escape(s.Title()), svgStyle)
	p.printf(`<text class="title" x="16" y="26">%s</text>`+"\n", escape(s.Title()))
	sub := reasonText(s.Reason, s.Detail)
	if s.Serving != nil {
		sub = fmt.Sprintf("%s from the first sign until %s served. %s", Duration(s.Took.D()), s.To, sub)
	}
	p.printf(`<text class="quiet" x="16" y="46">%s</text>`+"\n", escape(clip(sub, 140)))
}

func (p *picture) axis() {
	for _, at := range p.sc.ticks(8) {
		x := p.x(at)
		p.printf(`<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x, x, svgTop-12, p.height-12)
		p.printf(`<text class="quiet" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x, svgTop-18, escape(tickText(at)))
	}
}

func (p *picture) change(r row, y int) {
	c, x, mid := r.change, p.x(r.at), float64(y)+svgRow/2.0
	p.printf(`<line class="change" x1="%d" x2="%.1f" y1="%.1f" y2="%.1f"/>`, svgLabels, x, mid, mid)
	p.printf(`<line class="change" x1="%.1f" x2="%.1f" y1="%.1f" y2="%d"/>`, x, x, mid, p.height-12)
	p.printf(`<path class="diamond" d="M%.1f %.1fl5 5l-5 5l-5 -5z"/>`, x, mid-5)
	label := fmt.Sprintf("record: %s", c.Phase)
	if c.By != "" {
		label += ", by " + string(c.By)
	}
	p.printf(`<text class="quiet" x="16" y="%.1f">%s</text>`+"\n", mid+4, escape(clip(label, 34)))
}

func (p *picture) span(r row, y int) {
	sp, mid := r.span, float64(y)+svgRow/2.0
	from, to := p.x(r.at), p.x(r.end)
	took := Duration(sp.Took.D())
	if sp.Outcome == Open {
		to, took = p.x(p.sc.length), "not ended"
	}
	width := max(2, to-from)
	p.printf(`<text x="16" y="%.1f"><tspan font-weight="600">%s</tspan> %s</text>`, mid+4, escape(clip(string(sp.Node), 16)), escape(clip(string(sp.Step), 18)))
	p.printf(`<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2" fill="%s">`, from, mid-svgBar/2, width, svgBar, p.colors[sp.Node])
	p.printf("<title>%s</title></rect>", escape(fmt.Sprintf("%s %s, at %s for %s%s", sp.Node, sp.Step, Duration(r.at.D()), took, tail(sp.Detail))))
	class := "quiet"
	if sp.Outcome == Failed {
		class, took = "failed", took+", failed"
	}
	if r.end > p.sc.length {
		took += " →"
	}
	p.printf(`<text class="%s" x="%.1f" y="%.1f">%s</text>`+"\n", class, from+width+5, mid+4, escape(took))
}

func tail(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

// escape makes text safe inside the picture, whatever a server said in it.
func escape(s string) string {
	var b strings.Builder
	// EscapeText fails only if the writer does, and a Builder does not.
	_ = xml.EscapeText(&b, []byte(clean(s)))
	return cmp.Or(b.String(), "-")
}
