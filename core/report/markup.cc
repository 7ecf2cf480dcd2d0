#include "core/report/markup.h"

#include <fmt/format.h>

namespace synthesizer {

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else
      result += c;
  }
  return result;
}

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{0}</title>\n<style>body {{ "
      "font-family: sans-serif; margin: 2em; }} td, th {{ padding: 0.1em 1em 0.1em 0; text-align: left; }} "
      "pre {{ background: #f6f6f6; padding: 1em; }} img {{ max-width: 100%; }}</style></head>\n<body>\n<h1>{0}</h1>\n"
      "{1}</body>\n</html>\n",
      escaped(title), body);
}

}  // namespace synthesizer
