package table

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Style is how a table is written.
type Style struct {
	Width  int  // of a line, in columns; 0 is without end
	Height int  // in lines; 0 is without end
	Color  bool // by ANSI sequences
}

// column is one column. Those with a number in drop go where the terminal is too narrow, the lowest first.
type column struct {
	title string
	right bool
	drop  int
	cell  func(Row) string
}

var columns = []column{
	{"SERVER", false, 0, func(r Row) string { return r.Server }},
	{"STATE", false, 0, stateCell},
	{"CALLS", true, 4, func(r Row) string { return strconv.FormatInt(r.Calls, 10) }},
	{"TOTAL", true, 1, func(r Row) string { return strconv.FormatInt(r.Total, 10) }},
	{"LISTENERS", true, 2, func(r Row) string { return strconv.FormatInt(r.Listeners, 10) }},
	{"MEMORY", true, 3, func(r Row) string { return memoryText(r.Memory) }},
}

const (
	gap       = "  "
	minServer = 12 // columns that a server's name keeps before others go for it
)

func stateCell(r Row) string {
	switch {
	case !r.PerUser || r.Instances == 0:
		return r.State.String()
	case r.Instances == 1:
		return r.State.String() + " (1 user)"
	}
	return fmt.Sprintf("%s (%d users)", r.State, r.Instances)
}

// memoryText is a size with two or three digits, as people read it.
func memoryText(bytes int64) string {
	if bytes <= 0 {
		return "-"
	}
	size, units := float64(bytes)/(1<<20), []string{"MiB", "GiB", "TiB"}
	for len(units) > 1 && size >= 1000 {
		size, units = size/1024, units[1:]
	}
	if size < 10 {
		return fmt.Sprintf("%.1f %s", size, units[0])
	}
	return fmt.Sprintf("%.0f %s", size, units[0])
}

// Lines writes rows, and a note below where it is not empty. No line is wider, and there are no more, than the style says.
func Lines(rows []Row, note string, style Style) []string {
	rows, more := fitHeight(rows, note, style.Height)
	if rows == nil {
		return nil
	}
	lines := writeRows(rows, style)
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	if note != "" {
		lines = append(lines, note)
	}
	for i := 1 + len(rows); i < len(lines); i++ {
		lines[i] = style.cut(lines[i])
	}
	return lines
}

// fitHeight returns the rows that there is room for: where not for all, those that sleep go first. It is nil where
// there is no room for any.
func fitHeight(rows []Row, note string, height int) (fit []Row, more int) {
	room := height - 1 // below the titles
	if note != "" {
		room--
	}
	if height == 0 || len(rows) <= room {
		return append([]Row{}, rows...), 0
	}
	if room--; room < 1 {
		return nil, len(rows)
	}
	fit = slices.Clone(rows)
	slices.SortStableFunc(fit, func(a, b Row) int { return min(1, int(b.State)) - min(1, int(a.State)) })
	return fit[:room], len(rows) - room
}

// writeRows writes titles and rows.
func writeRows(rows []Row, style Style) []string {
	shown, widths := fitWidth(rows, style.Width)
	titles := make([]string, len(shown))
	for i, c := range shown {
		titles[i] = pad(c, c.title, widths[i])
	}
	lines := []string{style.paint(bold, style.cut(strings.TrimRight(strings.Join(titles, gap), " ")))}
	for _, r := range rows {
		cells := make([]string, len(shown))
		left := style.Width // of the line
		for i, c := range shown {
			cells[i] = pad(c, c.cell(r), widths[i])
			if i > 0 {
				cells[i] = gap + cells[i]
			}
			if style.Width > 0 {
				cells[i] = cut(cells[i], left)
				left -= len(cells[i])
			}
			if c.title == "STATE" {
				cells[i] = style.paint(stateColor[r.State], cells[i])
			}
		}
		lines = append(lines, strings.TrimRight(strings.Join(cells, ""), " "))
	}
	return lines
}

// fitWidth chooses the columns that a line has room for, and how wide each is.
func fitWidth(rows []Row, width int) ([]column, []int) {
	shown := slices.Clone(columns)
	for drop := 1; ; drop++ {
		widths, sum := measure(rows, shown)
		excess := sum - width
		if width == 0 || excess <= 0 || widths[0]-excess >= minServer || drop > len(columns) {
			if width > 0 && excess > 0 {
				widths[0] = max(min(widths[0], minServer), widths[0]-excess)
			}
			return shown, widths
		}
		shown = slices.DeleteFunc(shown, func(c column) bool { return c.drop == drop })
	}
}

// measure returns how wide each column must be, and all of them together.
func measure(rows []Row, shown []column) (widths []int, sum int) {
	sum = len(gap) * (len(shown) - 1)
	for _, c := range shown {
		width := len(c.title)
		for _, r := range rows {
			width = max(width, len(c.cell(r)))
		}
		widths, sum = append(widths, width), sum+width
	}
	return widths, sum
}

// pad brings a cell to a width. All text of a table is ASCII, so that a byte is a column.
func pad(c column, text string, width int) string {
	text = cut(text, width)
	if c.right {
		return strings.Repeat(" ", width-len(text)) + text
	}
	return text + strings.Repeat(" ", width-len(text))
}

// cut shortens a text, with a mark where something is missing.
func cut(text string, width int) string {
	switch {
	case len(text) <= width:
		return text
	case width <= 2 || strings.TrimRight(text[width:], " ") == "":
		return text[:max(0, width)]
	}
	return text[:width-1] + "~"
}

func (s Style) cut(line string) string {
	if s.Width == 0 {
		return line
	}
	return cut(line, s.Width)
}

// The ANSI attributes (ECMA-48, SGR).
const (
	bold   = "1"
	faint  = "2"
	green  = "32"
	yellow = "33"
)

var stateColor = map[State]string{Asleep: faint, Waking: yellow, Awake: green}

func (s Style) paint(attribute, text string) string {
	if !s.Color || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}
