package monitor

import "time"

// parseTime reads a time as encoding/json writes it (RFC 3339). time.Parse,
// which knows all other forms, would be a hundredth of the program.
func parseTime(s string) (time.Time, error) {
	const form = "0000-00-00T00:00:00"
	if len(s) <= len(form) {
		return time.Time{}, errJSON
	}
	for i := range form {
		if digit := isDigit(s[i]); digit != isDigit(form[i]) || !digit && s[i] != form[i] {
			return time.Time{}, errJSON
		}
	}
	year, month, day := digits(s[:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	nano, zone := fraction(s[len(form):])
	loc, err := location(zone)
	if err != nil || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, errJSON
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nano, loc)
	if t.Day() != day { // there is no such day in the month
		return time.Time{}, errJSON
	}
	return t, nil
}

// fraction reads ".123", if it is there, as nanoseconds.
func fraction(s string) (nano int, rest string) {
	if s[0] != '.' {
		return 0, s
	}
	n := 1
	for scale := 100_000_000; n < len(s) && isDigit(s[n]); n++ {
		nano += int(s[n]-'0') * scale
		scale /= 10
	}
	if n == 1 {
		return 0, "" // which is no zone
	}
	return nano, s[n:]
}

// location reads "Z" or "+01:00".
func location(s string) (*time.Location, error) {
	if s == "Z" {
		return time.UTC, nil
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' || !isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[4]) || !isDigit(s[5]) {
		return nil, errJSON
	}
	hour, minute := digits(s[1:3]), digits(s[4:])
	if hour > 23 || minute > 59 {
		return nil, errJSON
	}
	offset := (hour*60 + minute) * 60
	if s[0] == '-' {
		offset = -offset
	}
	if offset == 0 {
		return time.UTC, nil
	}
	return time.FixedZone("", offset), nil
}

func digits(s string) (n int) {
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
