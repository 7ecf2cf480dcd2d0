// Text for browsers: escaped words, and a page around a body. No script, nothing from elsewhere.
#pragma once

#include <string>
#include <string_view>

namespace synthesizer {

// &, < and > (and quotes, for attributes) as entities.
std::string escaped(std::string_view text);

// A whole page; `body` is HTML.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace synthesizer
