#include "core/inspect/token_view.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {
namespace {

// Neighbouring numbers have hues that differ much: steps of the golden angle.
int hue_of(int64_t expert) {
  return static_cast<int>(expert * 137508 / 1000 % 360);
}

std::string experts_of(const TokenView::Block& block, size_t token) {
  std::vector<std::string> words;
  for (int64_t slot = 0; slot < block.slots; ++slot) {
    const int32_t expert = block.chosen[token * as_index(block.slots) + as_index(slot)];
    if (expert >= 0) words.push_back(std::to_string(expert));
  }
  return words.empty() ? "none" : join(words, ", ");
}

int32_t first_expert(const TokenView::Block& block, size_t token) {
  return block.slots == 0 ? -1 : block.chosen[token * as_index(block.slots)];
}

std::string colour_style(int32_t expert) {
  return expert < 0 ? "" : fmt::format(" style=\"--h:{}\"", hue_of(expert));
}

std::string coloured_text(const TokenView& view) {
  const TokenView::Block& block = view.blocks.front();
  std::string html = "<p class=\"tokens\" id=\"tokens\">";
  for (size_t t = 0; t < view.texts.size(); ++t) {
    html += fmt::format("<span{} title=\"{}\">{}</span>", colour_style(first_expert(block, t)), experts_of(block, t),
                        escape_markup(view.texts[t]));
  }
  return html + "</p>\n";
}

std::string token_table(const TokenView& view) {
  std::vector<std::string> columns{"token"};
  for (const TokenView::Block& block : view.blocks) columns.push_back(fmt::format("layer {}", block.block));
  std::string html = "<details><summary>The experts of each token</summary>\n<div class=\"card scroll\"><table>\n" +
                     header_cells(columns) + "<tbody>\n";
  for (size_t t = 0; t < view.texts.size(); ++t) {
    html += "<tr><td>" + escape_markup(view.texts[t]) + "</td>";
    for (const TokenView::Block& block : view.blocks) html += "<td>" + experts_of(block, t) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n";
}

// [[first expert of each token, all experts as text], ...] of each block, for the script.
std::string script_data(const TokenView& view) {
  std::string data = "[";
  for (const TokenView::Block& block : view.blocks) {
    std::string colours, words;
    for (size_t t = 0; t < view.texts.size(); ++t) {
      const int32_t expert = first_expert(block, t);
      colours += fmt::format("{}{}", t == 0 ? "" : ",", expert < 0 ? -1 : hue_of(expert));
      words += fmt::format("{}\"{}\"", t == 0 ? "" : ",", experts_of(block, t));
    }
    data += fmt::format("{}[{},[{}],[{}]]", data.size() == 1 ? "" : ",", block.block, colours, words);
  }
  return data + "]";
}

// Without the characters < and & so that it is the same text in HTML and in XML.
constexpr const char* kScript = R"js(
const slider = document.getElementById("token-block"), label = document.getElementById("token-block-name");
const spans = document.getElementById("tokens").children;
document.getElementById("token-control").hidden = false;
slider.addEventListener("input", () => {
  const [block, hues, experts] = tokenBlocks[slider.value];
  label.textContent = "layer " + block;
  Array.from(spans).forEach((span, i) => {
    if (hues[i] === -1) span.style.removeProperty("--h"); else span.style.setProperty("--h", hues[i]);
    span.title = experts[i];
  });
});
)js";

}  // namespace

TokenView view_tokens(const StepTrace& trace, const TokenText& text) {
  TokenView view;
  if (trace.ids.empty()) return view;
  const int64_t tokens = std::min(trace.tokens(), kViewedTokens);
  for (int64_t t = 0; t < tokens; ++t) {
    const int32_t id = trace.ids[as_index(t)];
    const std::string words = one_line(text(id));
    view.texts.push_back(words.empty() ? fmt::format("{} ", id) : words);
  }
  for (const LayerTrace& layer : trace.layers) {
    view.blocks.push_back({.block = layer.block,
                           .experts = layer.experts,
                           .slots = layer.slots,
                           .chosen = {layer.chosen.begin(), layer.chosen.begin() + tokens * layer.slots}});
  }
  return view;
}

std::string token_view_markup(const TokenView& view) {
  if (view.texts.empty() || view.blocks.empty()) return "";
  std::string html = "<div class=\"card\">\n";
  html += fmt::format(
      "<p class=\"sub\" id=\"token-control\" hidden><label>Layer <input type=\"range\" id=\"token-block\" min=\"0\" "
      "max=\"{}\" value=\"0\"></label> <b id=\"token-block-name\">layer {}</b></p>\n",
      view.blocks.size() - 1, view.blocks.front().block);
  html += coloured_text(view);
  html +=
      fmt::format("<p class=\"sub\">The first {} tokens; the colour is that of the first chosen expert.</p>\n</div>\n",
                  view.texts.size());
  return html + token_table(view) +
         fmt::format("<script>\nconst tokenBlocks = {};{}</script>\n", script_data(view), kScript);
}

}  // namespace moe
