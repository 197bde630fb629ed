#include "core/inspect/token_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/generate/chosen_experts.h"
#include "core/generate/generate.h"
#include "core/generate/token_scores.h"
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

std::string colour_style(int hue) {
  return hue < 0 ? "" : fmt::format(" style=\"--h:{}\"", hue);
}

int hue_of_expert(const TokenView::Block& block, size_t token) {
  const int32_t expert = first_expert(block, token);
  return expert < 0 ? -1 : hue_of(expert);
}

// From green for what was expected to red for 8 nats and more: a token of one in 3000.
int hue_of_nats(double nats) {
  constexpr double kGreen = 130, kMost = 8;
  return std::isnan(nats) ? -1 : static_cast<int>(kGreen * (1 - std::min(nats, kMost) / kMost));
}

std::string nats_in_words(double nats) {
  return std::isnan(nats) ? "not predicted" : fmt::format("{:.2f} nats", nats);
}

std::string coloured_text(const TokenView& view, const std::string& name) {
  const TokenView::Block& block = view.blocks.front();
  std::string html = fmt::format("<p class=\"tokens\" id=\"{}\">", name);
  for (size_t t = 0; t < view.texts.size(); ++t) {
    html += fmt::format("<span{}{} title=\"{}\">{}</span>", t < view.given ? " class=\"given\"" : "",
                        colour_style(hue_of_expert(block, t)), experts_of(block, t), escape_markup(view.texts[t]));
  }
  return html + "</p>\n";
}

std::string token_table(const TokenView& view) {
  std::vector<std::string> columns{"token"};
  for (const TokenView::Block& block : view.blocks) columns.push_back(fmt::format("layer {}", block.block));
  if (!view.nats.empty()) columns.emplace_back("nats");
  std::string html = "<details><summary>The experts of each token</summary>\n<div class=\"card scroll\"><table>\n" +
                     header_cells(columns) + "<tbody>\n";
  for (size_t t = 0; t < view.texts.size(); ++t) {
    html += "<tr><td>" + escape_markup(view.texts[t]) + "</td>";
    for (const TokenView::Block& block : view.blocks) html += "<td>" + experts_of(block, t) + "</td>";
    if (!view.nats.empty())
      html += std::isnan(view.nats[t]) ? "<td></td>" : fmt::format("<td>{:.3f}</td>", view.nats[t]);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n";
}

// A way to colour the tokens, for the script: ["layer 3", [hue of each token], [its words]].
template <class Hue, class Words>
std::string colouring(const std::string& label, size_t tokens, Hue hue, Words words) {
  std::string hues, texts;
  for (size_t t = 0; t < tokens; ++t) {
    hues += fmt::format("{}{}", t == 0 ? "" : ",", hue(t));
    texts += fmt::format("{}\"{}\"", t == 0 ? "" : ",", words(t));
  }
  return fmt::format("[\"{}\",[{}],[{}]]", label, hues, texts);
}

std::string script_data(const TokenView& view) {
  std::string data = "[";
  for (const TokenView::Block& block : view.blocks) {
    data += (data.size() == 1 ? "" : ",") + colouring(
                                                fmt::format("layer {}", block.block), view.texts.size(),
                                                [&](size_t t) { return hue_of_expert(block, t); },
                                                [&](size_t t) { return experts_of(block, t); });
  }
  if (!view.nats.empty()) {
    data += "," + colouring(
                      "nats", view.texts.size(), [&](size_t t) { return hue_of_nats(view.nats[t]); },
                      [&](size_t t) { return nats_in_words(view.nats[t]); });
  }
  return data + "]";
}

// Without the characters < and & so that it is the same text in HTML and in XML.
constexpr const char* kScript = R"js(
  const slider = document.getElementById(name + "-block"), label = document.getElementById(name + "-block-name");
  const spans = document.getElementById(name).children;
  document.getElementById(name + "-control").hidden = false;
  slider.addEventListener("input", () => {
    const [words, hues, titles] = colourings[slider.value];
    label.textContent = words;
    Array.from(spans).forEach((span, i) => {
      if (hues[i] === -1) span.style.removeProperty("--h"); else span.style.setProperty("--h", hues[i]);
      span.title = titles[i];
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

// Experts, nats and texts of tokens that are read.
static TokenView view_of(TrainingState& state, std::span<const int32_t> tokens, int64_t context,
                         const TokenText& text) {
  ChosenExperts experts(*state.model);
  const std::vector<TokenScore> scores = score_tokens(
      state, tokens, {.context = context, .stride = context, .visit = [&](std::span<const ReadToken> pass) {
                        experts.collect(pass);
                      }});
  TokenView view;
  for (const int32_t id : tokens) {
    const std::string words = one_line(text(id));
    view.texts.push_back(words.empty() ? fmt::format("{} ", id) : words);
  }
  view.nats.push_back(std::numeric_limits<double>::quiet_NaN());
  for (const TokenScore& score : scores) view.nats.push_back(score.nats);
  for (size_t l = 0; l < experts.layers(); ++l) {
    TokenView::Block block{.block = experts.block(l), .experts = experts.experts(l), .slots = 0, .chosen = {}};
    for (int64_t t = 0; t < std::ssize(tokens); ++t)
      block.slots = std::max(block.slots, std::ssize(experts.of(0, t, l)));
    for (int64_t t = 0; t < std::ssize(tokens); ++t) {
      std::vector<int32_t> chosen = experts.of(0, t, l);
      chosen.resize(as_index(block.slots), -1);
      block.chosen.insert(block.chosen.end(), chosen.begin(), chosen.end());
    }
    view.blocks.push_back(std::move(block));
  }
  return view;
}

TextViews view_texts(TrainingState& state, std::span<const int32_t> tokens, int64_t context, const TokenText& text) {
  if (tokens.size() < 2) return {};
  TextViews views;
  views.read = view_of(state, tokens.first(std::min(tokens.size(), as_index(kViewedTokens))), context, text);
  const int64_t given = std::min<int64_t>({64, context / 2, std::ssize(tokens)});
  WrittenText written{.tokens = {tokens.begin(), tokens.begin() + given}};
  // Where each token needs a pass over the whole text, few of them must do.
  const int64_t tokens_written = why_read_whole(*state.model).empty() ? 200 : 40;
  TextWriter(state, {.tokens = tokens_written, .reader = {.context = context, .chunk = context}}).write_on(written);
  views.written = view_of(state, written.tokens, context, text);
  views.written.given = as_index(given);
  return views;
}

std::string token_view_markup(const TokenView& view, const std::string& name) {
  if (view.texts.empty() || view.blocks.empty()) return "";
  const size_t colourings = view.blocks.size() + (view.nats.empty() ? 0 : 1);
  std::string html = "<div class=\"card\">\n";
  html += fmt::format(
      "<p class=\"sub\" id=\"{0}-control\" hidden><label>Colour by <input type=\"range\" id=\"{0}-block\" min=\"0\" "
      "max=\"{1}\" value=\"0\"></label> <b id=\"{0}-block-name\">layer {2}</b></p>\n",
      name, colourings - 1, view.blocks.front().block);
  html += coloured_text(view, name);
  std::string words = view.given > 0 ? fmt::format(
                                           "{} tokens of a held-out text (in grey), continued by the model with {} "
                                           "tokens at temperature 0.8",
                                           view.given, view.texts.size() - view.given)
                                     : fmt::format("The first {} tokens", view.texts.size());
  words += "; the colour is that of the first chosen expert.";
  if (!view.nats.empty())
    words += " The last place of the slider shows how surprising each token was: green 0, red 8 nats or more.";
  html += fmt::format("<p class=\"sub\">{}</p>\n</div>\n", words);
  return html + token_table(view) +
         fmt::format("<script>\n((name, colourings) => {{{}}})(\"{}\", {});\n</script>\n", kScript, name,
                     script_data(view));
}

}  // namespace moe
