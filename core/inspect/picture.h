// Small pictures of samples: for a web page, and for a terminal.
#pragma once
#include <string>

#include "core/tasks/task.h"

namespace moe {

// A PNG file (ISO/IEC 15948): grey for one channel, colour for three. Stored without compression, because it is meant
// for small pictures.
std::string png(const SampleView& view);
// An <img> element with such a file inside, and the sample's text as its description.
std::string picture_markup(const SampleView& view);
// Lines of characters from empty to full, for a light-on-dark terminal. One line covers two rows of pixels, because
// characters are twice as high as wide. At most `columns` wide.
std::string picture_text(const SampleView& view, int64_t columns = 64);

}  // namespace moe
