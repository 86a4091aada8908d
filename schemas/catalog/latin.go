package catalog

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// latin are letters that are no letter of ASCII with a mark, and how they are usually written in ASCII.
var latin = strings.NewReplacer("ß", "ss", "æ", "ae", "Æ", "ae", "œ", "oe", "Œ", "oe", "ø", "o", "Ø", "o", "ł", "l",
	"Ł", "l", "đ", "d", "Đ", "d", "ð", "d", "Ð", "d", "þ", "th", "Þ", "th", "ı", "i")

// Words returns the letters and digits of ASCII in a name, in lower case, with single underscores between them. Latin
// letters lose their marks: café becomes cafe. Letters of other scripts are left out.
func Words(name string) string {
	bare := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(latin.Replace(name)))
	parts := strings.FieldsFunc(strings.ToLower(bare), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(parts, "_")
}
