"""The documentation site in Chromium, from a static server: widths, contrast, search."""

import pytest
from helpers.site import build_site, serving
from page.test_accessibility import TEXTS

PAGES = ("index", "start", "faq", "results", "methods/zhang16", "api/color")
FOUND = {  # what a reader looks for: the page, and words of the answer
    "colorize a folder": ("folder.html", "colorjax colorize album --output colored"),
    "train on my own photos": ("own_photos.html", "colorjax finetune semantic-lite0"),
    "what can the default weights not do": ("faq.html", "A gray photo of a red door"),
    "how to cite": ("cite.html", "@software{colorjax"),
}


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    """The address of the site on a static server."""
    folder = build_site(tmp_path_factory.mktemp("site"))
    with serving(folder) as address:
        yield address.rstrip("/")


@pytest.fixture
def read(chromium, docs):
    """Opens a page of the site; afterwards: no request left the machine."""
    contexts, foreign = [], []

    def open_page(name, width=1280, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: foreign.append(request.url))
        page.goto(f"{docs}/{name}.html")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in foreign if not url.startswith((docs, "data:", "blob:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_pages_fit_and_can_be_read(read, width, scheme):
    for name in PAGES:
        page = read(name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        texts = page.evaluate(TEXTS)
        assert len(texts) > 20
        pale = [text for text in texts if text["contrast"] < (3 if text["size"] >= 24 else 4.5)]
        assert pale == [], name


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("question", FOUND)
def test_the_search_finds_the_answer_first(read, question, width):
    page, (target, answer) = read("index", width), FOUND[question]
    if width < 1000:
        page.locator("label[for=__search]").first.click()
    page.locator(".md-search__input").fill(question)
    result = page.locator(".md-search-result__link").first
    result.click()
    page.wait_for_url(f"**/{target}*")
    page.locator(".md-content").get_by_text(answer).first.wait_for()


def test_the_front_page_leads_to_each_answer_by_one_click(read):
    for target, answer in FOUND.values():
        page = read("index")
        page.locator(f".md-content table a[href^='{target}']").first.click()
        page.locator(".md-content").get_by_text(answer).first.wait_for()
