// Shows a ladder as text, JSON and web page.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/ladder.h"

namespace moe {

std::string ladder_text(const Ladder& ladder);
Json ladder_json(const Ladder& ladder);
std::string ladder_html(const Ladder& ladder);

// One sentence for each method: whether it is better, and what becomes of its advantage.
std::vector<std::string> ladder_answers(const Ladder& ladder);

}  // namespace moe
