// Sections of analyses: paragraphs, tables and pictures, in the order in which the analysis gave them.

function studyCell(cell) {
  return typeof cell === 'string' ? cell : Number.isInteger(cell) ? cell.toLocaleString('en') : format(cell);
}

function studyTable(table) {
  return figure(
    table.title,
    h(
      'div',
      { class: 'scroll' },
      plainTable(
        table.columns,
        table.rows.map((row) => row.map(studyCell)),
      ),
    ),
    table.note && h('figcaption', { class: 'muted' }, table.note),
  );
}

// The picture is inflated when it comes near the screen.
function studyPicture(picture) {
  if (picture.missing) return h('p', { class: 'note' }, picture.missing);
  const image = h('img', { alt: picture.caption || picture.name, class: 'picture' });
  const place = h('figure', { class: 'card' }, image, h('figcaption', { class: 'muted' }, picture.caption));
  const watch = new IntersectionObserver(
    async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      const bytes = await (await inflated(picture.chunk)).arrayBuffer();
      image.src = URL.createObjectURL(new Blob([bytes], { type: 'image/png' }));
    },
    { rootMargin: '600px' },
  );
  watch.observe(place);
  return place;
}

function studySections(meta) {
  return meta.studies.map((study, i) =>
    section(
      `study-${i}`,
      study.title,
      study.text[0],
      study.text.slice(1).map((paragraph) => h('p', null, paragraph)),
      study.pages.length > 0 &&
        h(
          'p',
          { class: 'note' },
          'Pages: ',
          study.pages.map((page, n) => [n ? ', ' : '', h('a', { href: page.href }, page.name)]),
        ),
      h('div', { class: 'figures' }, study.tables.map(studyTable), study.pictures.map(studyPicture)),
      h('p', { class: 'muted' }, `Made by lmx ${study.analysis}; its tables lie in ${study.folder}.`),
    ),
  );
}
