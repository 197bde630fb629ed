// The files of a folder that is given as input, each of which is a document.
#pragma once
#include <string>
#include <vector>

namespace moe {

// Paths, relative to `folder`, of all files in it and in the folders inside of it, sorted by name, a folder's files
// where its name stands. Files and folders whose names begin with a full stop are skipped. Links are followed; a folder
// that can be reached in several ways is read once. Throws DataError for a folder that cannot be listed, for one
// without files, for a link to nothing, for a file that is no plain one (a pipe, a device), and for a prepared corpus.
std::vector<std::string> document_files(const std::string& folder);

}  // namespace moe
